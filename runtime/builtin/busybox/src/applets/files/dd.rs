//! `dd`: copies and converts.

use std::fs::OpenOptions;
use std::io::SeekFrom;

use wasip2::clocks::monotonic_clock;

use crate::context::{Context, Error, Result};
use crate::io::Descriptor;

/// How much is in memory at a time, however large a block is.
const CHUNK: u64 = 64 << 10;

struct Settings {
    input: Option<String>,
    output: Option<String>,
    ibs: u64,
    obs: u64,
    count: Option<u64>,
    skip: u64,
    seek: u64,
    truncates: bool,
    pads: bool,
    appends: bool,
    /// `skip`, `seek` and `count` are bytes.
    bytes: [bool; 3],
    status: Status,
}

#[derive(PartialEq)]
enum Status {
    All,
    NoTransfer,
    None,
}

/// `dd [if=FILE] [of=FILE] [bs=N] [count=N] [skip=N] [seek=N] [conv=…]`
pub async fn dd(cx: &mut Context) -> Result {
    let settings = settings(&cx.args[1..])?;
    let input = match &settings.input {
        Some(path) => cx.open(path).map_err(|error| Error::about(format!("can't open '{path}'"), &error))?,
        None => cx.stdin.clone(),
    };
    let output = match &settings.output {
        Some(path) => open_output(cx, path, &settings).map_err(|error| Error::about(format!("can't open '{path}'"), &error))?,
        None => cx.stdout.descriptor().clone(),
    };
    let begun = monotonic_clock::now();
    skip(&input, settings.skip.saturating_mul(if settings.bytes[0] { 1 } else { settings.ibs })).await?;
    let mut left = settings.count.map(|count| count.saturating_mul(if settings.bytes[2] { 1 } else { settings.ibs }));
    let (mut full, mut partial, mut written) = (0_u64, 0_u64, 0_u64);
    let mut outcome = Ok(0);
    while left != Some(0) && outcome.is_ok() {
        let block = left.map_or(settings.ibs, |left| left.min(settings.ibs));
        let (mut got, mut ended) = (0, false);
        while got < block && outcome.is_ok() {
            let mut bytes = input.read((block - got).min(CHUNK) as usize).await?;
            got += bytes.len() as u64;
            ended = bytes.is_empty();
            if ended && got > 0 && settings.pads {
                bytes.resize((block - got) as usize, 0);
            }
            written += bytes.len() as u64;
            if let Err(error) = output.write_all(&bytes).await {
                outcome = Err(Error::about(format!("error writing '{}'", settings.output.as_deref().unwrap_or("standard output")), &error));
            }
            if ended {
                break;
            }
        }
        full += u64::from(got == settings.ibs);
        partial += u64::from(got > 0 && got < settings.ibs);
        left = left.map(|left| left - got);
        if ended {
            break;
        }
    }
    if settings.status != Status::None {
        let (whole, rest) =
            if settings.ibs == settings.obs && !settings.pads { (full, partial) } else { (written / settings.obs, u64::from(written % settings.obs > 0)) };
        let mut said = format!("{full}+{partial} records in\n{whole}+{rest} records out\n");
        if settings.status == Status::All {
            let seconds = (monotonic_clock::now() - begun) as f64 / 1e9;
            let rate = if seconds > 0.0 { (written as f64 / seconds) as u64 } else { 0 };
            said += &format!("{written} bytes ({}B) copied, {seconds:.6} seconds, {}B/s\n", human(written), human(rate));
        }
        cx.stderr.write_all(said.as_bytes()).await?;
    }
    outcome
}

fn settings(args: &[String]) -> std::result::Result<Settings, Error> {
    let mut settings = Settings {
        input: None,
        output: None,
        ibs: 512,
        obs: 512,
        count: None,
        skip: 0,
        seek: 0,
        truncates: true,
        pads: false,
        appends: false,
        bytes: [false; 3],
        status: Status::All,
    };
    for arg in args {
        let (name, value) = arg.split_once('=').ok_or_else(|| Error::usage(format!("invalid argument '{arg}'")))?;
        let invalid = || Error::new(format!("invalid argument '{value}' to '{name}'"));
        let amount = || number(value).ok_or_else(|| Error::new(format!("invalid number '{value}'")));
        let size = || match amount()? {
            0 => Err(Error::new(format!("number {value} is not in 1..{} range", i64::MAX))),
            size => Ok(size),
        };
        match name {
            "if" => settings.input = Some(value.into()),
            "of" => settings.output = Some(value.into()),
            "bs" => (settings.ibs, settings.obs) = (size()?, size()?),
            "ibs" => settings.ibs = size()?,
            "obs" => settings.obs = size()?,
            "count" => settings.count = Some(amount()?),
            "skip" => settings.skip = amount()?,
            "seek" => settings.seek = amount()?,
            "conv" => {
                for word in value.split(',') {
                    match word {
                        "notrunc" => settings.truncates = false,
                        "sync" => settings.pads = true,
                        // Every write is on its way when it was written, and reading goes on as far as it can.
                        "fsync" | "noerror" => {}
                        _ => return Err(invalid()),
                    }
                }
            }
            "iflag" | "oflag" => {
                for word in value.split(',') {
                    match (name, word) {
                        ("iflag", "skip_bytes") => settings.bytes[0] = true,
                        ("iflag", "count_bytes") => settings.bytes[2] = true,
                        ("oflag", "seek_bytes") => settings.bytes[1] = true,
                        ("oflag", "append") => settings.appends = true,
                        (_, "fullblock" | "direct") => {}
                        _ => return Err(invalid()),
                    }
                }
            }
            "status" => {
                settings.status = match value {
                    "none" => Status::None,
                    "noxfer" => Status::NoTransfer,
                    _ => return Err(invalid()),
                }
            }
            _ => return Err(Error::usage(format!("invalid argument '{arg}'"))),
        }
    }
    Ok(settings)
}

/// `10`, `1k`, `4M`, `2kB`, `1b`.
fn number(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "c" => 1,
        "w" => 2,
        "b" => 512,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "kB" | "KB" | "kD" => 1_000,
        "MB" | "MD" => 1_000_000,
        "GB" | "GD" => 1_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// `1.0M`.
fn human(mut value: u64) -> String {
    let (mut units, mut tenths, mut unit) = ("kMGTPE".chars(), 0, None);
    while value >= 1024 {
        tenths = (value % 1024 * 10 + 512) / 1024;
        value /= 1024;
        unit = units.next();
    }
    if tenths >= 10 {
        (value, tenths) = (value + 1, 0);
    }
    unit.map_or(value.to_string(), |unit| format!("{value}.{tenths}{unit}"))
}

fn open_output(cx: &Context, path: &str, settings: &Settings) -> std::io::Result<Descriptor> {
    if settings.appends {
        return cx.create(path, true);
    }
    let start = settings.seek.saturating_mul(if settings.bytes[1] { 1 } else { settings.obs });
    let output = cx.open_with(path, OpenOptions::new().write(true).create(true).truncate(settings.truncates && start == 0))?;
    if start > 0 {
        if settings.truncates {
            output.with_file(|file| file.set_len(start)).transpose()?;
        }
        output.seek(SeekFrom::Start(start))?;
    }
    Ok(output)
}

/// Passes over the beginning of the input: reads it where it cannot be sought.
async fn skip(input: &Descriptor, mut bytes: u64) -> std::io::Result<()> {
    if bytes > 0 && input.seek(SeekFrom::Current(bytes as i64)).is_ok() {
        return Ok(());
    }
    while bytes > 0 {
        let read = input.read(bytes.min(CHUNK) as usize).await?.len() as u64;
        if read == 0 {
            break;
        }
        bytes -= read;
    }
    Ok(())
}
