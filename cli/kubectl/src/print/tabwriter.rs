//! Columns of text that line up: cells end in a tab, and a block of lines with a cell in a column shares its
//! width. The rules are those of Go's `text/tabwriter`, which kubectl's output comes from.

/// Aligns text.
#[derive(Debug, Clone)]
pub struct TabWriter {
    minimum: usize,
    padding: usize,
    /// The widths of before, where a table is written piece by piece.
    remembered: Option<Vec<usize>>,
}

impl TabWriter {
    /// As for tables: three spaces between columns, and widths that only grow from one piece to the next.
    pub fn table() -> TabWriter {
        TabWriter { minimum: 6, padding: 3, remembered: Some(Vec::new()) }
    }

    /// As for `describe`: two spaces between columns.
    pub fn describe() -> TabWriter {
        TabWriter::plain(0, 2)
    }

    /// With these widths, and nothing remembered.
    pub fn plain(minimum: usize, padding: usize) -> TabWriter {
        TabWriter { minimum, padding, remembered: None }
    }

    /// Aligns whole lines.
    pub fn format(&mut self, text: &str) -> String {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let mut out = String::with_capacity(text.len() * 2);
        let end = lines.len();
        self.block(&lines, &mut Vec::new(), 0, end, &mut out);
        out
    }

    fn block(&mut self, lines: &[Vec<&str>], widths: &mut Vec<usize>, mut from: usize, to: usize, out: &mut String) {
        let column = widths.len();
        let mut this = from;
        while this < to {
            // The last cell of a line has no tab after it and belongs to no column.
            if column + 1 >= lines[this].len() {
                this += 1;
                continue;
            }
            self.write(lines, widths, from, this, out);
            from = this;
            let mut width = self.minimum;
            while this < to && column + 1 < lines[this].len() {
                width = width.max(lines[this][column].chars().count() + self.padding);
                this += 1;
            }
            if let Some(remembered) = &mut self.remembered {
                if column < remembered.len() {
                    width = width.max(remembered[column]);
                    remembered[column] = width;
                } else {
                    remembered.push(width);
                }
            }
            widths.push(width);
            self.block(lines, widths, from, this, out);
            widths.pop();
            from = this;
        }
        self.write(lines, widths, from, to, out);
    }

    fn write(&self, lines: &[Vec<&str>], widths: &[usize], from: usize, to: usize, out: &mut String) {
        for line in &lines[from..to] {
            for (at, cell) in line.iter().enumerate() {
                out.push_str(cell);
                if let Some(width) = widths.get(at) {
                    let used = cell.chars().count();
                    out.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
                }
            }
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn columns_line_up_in_blocks() {
        let text = "NAME\tREADY\tSTATUS\na\t1/1\tRunning\na-long-name\t1/1\tX\n";
        expect![[r"
            NAME          READY   STATUS
            a             1/1     Running
            a-long-name   1/1     X
        "]]
        .assert_eq(&TabWriter::table().format(text));
        let text = "Name:\tx\nA long key:\ty\nAlone\n  A:\tb\n  Deep:\tc\n";
        expect![[r"
            Name:       x
            A long key: y
            Alone
              A:    b
              Deep: c
        "]]
        .assert_eq(&TabWriter::plain(0, 1).format(text));
    }

    #[test]
    fn a_table_remembers_its_widths() {
        let mut writer = TabWriter::table();
        assert_eq!(writer.format("a-long-name\tb\n"), "a-long-name   b\n");
        assert_eq!(writer.format("a\tb\n"), "a             b\n");
    }
}
