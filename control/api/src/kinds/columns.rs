//! Columns and cells that many tables share.

use serde_json::Value;

use crate::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use crate::table::{Column, Now};

/// The description of `metadata.creationTimestamp`.
pub(crate) const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The column `Name`.
pub(crate) const fn name() -> Column {
    Column::new("Name", "string", "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names").name_format()
}

/// The column `Age`.
pub(crate) const fn age() -> Column {
    Column::new("Age", "string", CREATED)
}

/// The column of text.
pub(crate) const fn text(name: &'static str, description: &'static str) -> Column {
    Column::new(name, "string", description)
}

/// The cell of the name.
pub(crate) fn name_cell(meta: &ObjectMeta) -> Value {
    Value::from(meta.name.clone().unwrap_or_default())
}

/// The cell of the age.
pub(crate) fn age_cell(meta: &ObjectMeta, now: Now) -> Value {
    Value::from(since(meta.creation_timestamp.as_ref(), now))
}

/// How long ago something was, `<unknown>` where that is not known.
pub(crate) fn since(time: Option<&Time>, now: Now) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |time| human_duration(now.0.as_second() - time.0.as_second()))
}

/// A number of seconds as people say it: two units at most, the smaller left out where it does not matter.
pub(crate) fn human_duration(seconds: i64) -> String {
    let two = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10800 => format!("{minutes}m"),
        10800..28800 => two(hours, 'h', minutes % 60, 'm'),
        28800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(hours / 24, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{}d", hours / 24),
        63_072_000..252_288_000 => two(hours / 24 / 365, 'y', hours / 24 % 365, 'd'),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// Text, or `<none>`.
pub(crate) fn or_none(text: Option<&str>) -> Value {
    Value::from(text.filter(|t| !t.is_empty()).unwrap_or("<none>"))
}

/// The first three of a list, and how many more there are.
pub(crate) fn first_three(all: &[String]) -> String {
    const SHOWN: usize = 3;
    match all.len() {
        0..=SHOWN => all.join(","),
        n => format!("{} + {} more...", all[..SHOWN].join(","), n - SHOWN),
    }
}

/// The cells `Containers` and `Images` of a workload.
pub(crate) fn containers_and_images(template: Option<&PodTemplateSpec>) -> [Value; 2] {
    let empty = PodSpec::default();
    let containers = &template.and_then(|t| t.spec.as_ref()).unwrap_or(&empty).containers;
    let join = |texts: Vec<&str>| Value::from(texts.join(","));
    [join(containers.iter().map(|c| c.name.as_str()).collect()), join(containers.iter().map(|c| c.image.as_deref().unwrap_or_default()).collect())]
}

/// The columns that go with [`containers_and_images`].
pub(crate) const fn containers_and_images_columns() -> [Column; 2] {
    [text("Containers", "Names of each container in the template.").wide(), text("Images", "Images referenced by each container in the template.").wide()]
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        const DAY: i64 = 86_400;
        let table = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (601, "10m"),
            (179 * 60, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (8 * 3600 + 60, "8h"),
            (47 * 3600, "47h"),
            (2 * DAY + 3600, "2d1h"),
            (8 * DAY + 3600, "8d"),
            (729 * DAY, "729d"),
            (730 * DAY, "2y"),
            (731 * DAY, "2y1d"),
            (9 * 365 * DAY, "9y"),
        ];
        for (seconds, text) in table {
            assert_eq!(human_duration(seconds), text, "{seconds} seconds");
        }
    }
}
