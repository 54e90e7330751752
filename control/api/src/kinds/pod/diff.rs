//! The difference of two texts as kube-apiserver shows it: hunks with three lines of context.

use std::fmt::Write;

const CONTEXT: usize = 3;
/// Texts whose middle parts differ by more than this many line pairs are not compared line by line.
const MAX_CELLS: usize = 1 << 22;

/// The hunks, each with its `@@` line; empty for equal texts.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let edits = edits(&old, &new);
    let changed: Vec<usize> = edits.iter().enumerate().filter(|(_, e)| e.0 != ' ').map(|(i, _)| i).collect();
    let mut out = String::new();
    let mut at = 0;
    while at < changed.len() {
        let mut last = at;
        while last + 1 < changed.len() && changed[last + 1] - changed[last] <= 2 * CONTEXT {
            last += 1;
        }
        let (from, to) = (changed[at].saturating_sub(CONTEXT), (changed[last] + CONTEXT + 1).min(edits.len()));
        let count = |edits: &[(char, &str)], skip: char| edits.iter().filter(|e| e.0 != skip).count();
        let (old_range, new_range) =
            (range(count(&edits[..from], '+'), count(&edits[from..to], '+')), range(count(&edits[..from], '-'), count(&edits[from..to], '-')));
        let _ = writeln!(out, "@@ -{old_range} +{new_range} @@");
        for (mark, line) in &edits[from..to] {
            let _ = writeln!(out, "{mark}{line}");
        }
        at = last + 1;
    }
    out
}

fn range(before: usize, length: usize) -> String {
    match length {
        1 => (before + 1).to_string(),
        0 => format!("{before},0"),
        _ => format!("{},{length}", before + 1),
    }
}

fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<(char, &str)> = old[..head].iter().map(|line| (' ', *line)).collect();
    if a.len().saturating_mul(b.len()) > MAX_CELLS {
        out.extend(a.iter().map(|line| ('-', *line)));
        out.extend(b.iter().map(|line| ('+', *line)));
    } else {
        middle(a, b, &mut out);
    }
    out.extend(old[old.len() - tail..].iter().map(|line| (' ', *line)));
    out
}

/// The longest common subsequence decides what stays.
fn middle<'a>(a: &[&'a str], b: &[&'a str], out: &mut Vec<(char, &'a str)>) {
    let width = b.len() + 1;
    let mut longest = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] =
                if a[i] == b[j] { longest[(i + 1) * width + j + 1] + 1 } else { longest[(i + 1) * width + j].max(longest[i * width + j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
            out.push(('-', a[i]));
            i += 1;
        } else {
            out.push(('+', b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    #[test]
    fn hunks_have_three_lines_around() {
        let old = (1..=20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let new = old.replace("\n5\n", "\nfive\n").replace("\n18\n", "\n18\n18a\n");
        expect![[r"
            @@ -2,7 +2,7 @@
             2
             3
             4
            -5
            +five
             6
             7
             8
            @@ -16,5 +16,6 @@
             16
             17
             18
            +18a
             19
             20
        "]]
        .assert_eq(&super::unified(&old, &new));
        assert_eq!(super::unified(&old, &old), "");
    }
}
