//! The line discipline of a terminal, as Linux's N_TTY has it in its usual settings (`stty sane`): lines with erase and kill, echo, signals,
//! carriage returns. Pure.

use unicode_width::UnicodeWidthChar;
use wharf_engine::Signal;

/// The longest line, as in Linux; what is typed beyond it is answered by the bell.
const MAX_LINE: usize = 4096;

/// What came of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line to be read, or the part of one that Ctrl-D sent.
    Line(Vec<u8>),
    /// Ctrl-D at the beginning of a line: one reader meets the end.
    End,
    /// A signal; what was typed before and not read is forgotten.
    Signal(Signal),
}

/// A terminal's state.
#[derive(Default)]
pub(crate) struct Discipline {
    line: Vec<u8>,
    /// The next byte stands for itself.
    literal: bool,
    /// Where the cursor is.
    column: usize,
    /// Where it was when the line began.
    begin: usize,
}

impl Discipline {
    /// Takes what the client typed; `echo` is what its screen shows of it.
    pub(crate) fn receive(&mut self, bytes: &[u8], echo: &mut Vec<u8>) -> Vec<Typed> {
        let mut out = vec![];
        for &byte in bytes {
            if self.line.is_empty() {
                self.begin = self.column;
            }
            if std::mem::take(&mut self.literal) {
                self.insert(byte, echo);
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.line.push(b'\n');
                    self.echo(b"\n", echo);
                    out.push(Typed::Line(std::mem::take(&mut self.line)));
                }
                CTRL_D if self.line.is_empty() => out.push(Typed::End),
                CTRL_D => out.push(Typed::Line(std::mem::take(&mut self.line))),
                CTRL_C | CTRL_BACKSLASH | CTRL_Z => {
                    self.line.clear();
                    self.echo(&caret(byte), echo);
                    match byte {
                        CTRL_C => out.push(Typed::Signal(Signal::Int)),
                        CTRL_BACKSLASH => out.push(Typed::Signal(Signal::Quit)),
                        // There is no job control: nobody could let it go on.
                        _ => {}
                    }
                }
                DELETE | CTRL_H => self.erase(echo),
                CTRL_U => {
                    while !self.line.is_empty() {
                        self.erase(echo);
                    }
                }
                CTRL_W => self.erase_word(echo),
                CTRL_V => {
                    self.literal = true;
                    echo.extend_from_slice(b"^\x08");
                }
                CTRL_R => {
                    self.echo(b"^R\n", echo);
                    let line = std::mem::take(&mut self.line);
                    self.begin = self.column;
                    line.iter().for_each(|byte| self.insert(*byte, echo));
                }
                // Output is not held: there is nobody to whom a frozen screen would be of use.
                CTRL_Q | CTRL_S => {}
                byte => self.insert(byte, echo),
            }
        }
        out
    }

    /// What the screen gets for bytes that a program wrote: a newline is a carriage return too.
    pub(crate) fn show(&mut self, bytes: &[u8], screen: &mut Vec<u8>) {
        for &byte in bytes {
            if byte == b'\n' {
                screen.push(b'\r');
            }
            screen.push(byte);
            self.column = match byte {
                b'\n' | b'\r' => 0,
                0x08 => self.column.saturating_sub(1),
                b'\t' => tab(self.column),
                0x20..=0x7e | 0xc0.. => self.column + 1,
                _ => self.column,
            };
        }
    }

    fn echo(&mut self, bytes: &[u8], echo: &mut Vec<u8>) {
        self.show(bytes, echo);
    }

    fn insert(&mut self, byte: u8, echo: &mut Vec<u8>) {
        // Room for the newline stays.
        if self.line.len() >= MAX_LINE - 1 {
            return echo.push(BELL);
        }
        self.line.push(byte);
        match byte {
            b'\t' => self.echo(&[byte], echo),
            0..=0x1f | DELETE => self.echo(&caret(byte), echo),
            _ => self.echo(&[byte], echo),
        }
    }

    /// Takes the last character out of the line and off the screen.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        let before = self.width();
        while self.line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        for _ in self.width()..before {
            echo.extend_from_slice(b"\x08 \x08");
        }
        self.column = self.begin + self.width();
    }

    /// Takes spaces and the word before them.
    fn erase_word(&mut self, echo: &mut Vec<u8>) {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        while self.line.last().is_some_and(|byte| !is_word(byte)) {
            self.erase(echo);
        }
        while self.line.last().is_some_and(is_word) {
            self.erase(echo);
        }
    }

    /// Columns that the line takes.
    fn width(&self) -> usize {
        let text = String::from_utf8_lossy(&self.line);
        let end = text.chars().fold(self.begin, |column, c| match c {
            '\t' => tab(column),
            '\0'..='\x1f' | '\x7f' => column + 2,
            c => column + c.width().unwrap_or(0),
        });
        end - self.begin
    }
}

/// Where a tab leads.
fn tab(column: usize) -> usize {
    (column / 8 + 1) * 8
}

/// `^C` for Ctrl-C.
fn caret(byte: u8) -> [u8; 2] {
    [b'^', byte ^ 0x40]
}

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BELL: u8 = 0x07;
const CTRL_H: u8 = 0x08;
const CTRL_Q: u8 = 0x11;
const CTRL_R: u8 = 0x12;
const CTRL_S: u8 = 0x13;
const CTRL_U: u8 = 0x15;
const CTRL_V: u8 = 0x16;
const CTRL_W: u8 = 0x17;
const CTRL_Z: u8 = 0x1a;
const CTRL_BACKSLASH: u8 = 0x1c;
const DELETE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program reads (`<line>`, `END`, signals), and what the screen shows.
    fn typed(prompt: &str, keys: &[u8]) -> (String, String) {
        let mut d = Discipline::default();
        let mut screen = vec![];
        d.show(prompt.as_bytes(), &mut screen);
        screen.clear();
        let got = d.receive(keys, &mut screen);
        let words = got.iter().map(|t| match t {
            Typed::Line(line) => format!("<{}>", line.escape_ascii()),
            Typed::End => "END".to_owned(),
            Typed::Signal(signal) => format!("{signal:?}"),
        });
        (words.collect::<Vec<_>>().join(" "), String::from_utf8_lossy(&screen).into_owned())
    }

    #[test]
    fn lines_are_read_when_they_end() {
        for (keys, read, screen) in [
            (&b"ls -l\r"[..], r"<ls -l\n>", "ls -l\r\n"),
            (b"ls\n", r"<ls\n>", "ls\r\n"),
            (b"ls", "", "ls"),
            (b"a\rb\r", r"<a\n> <b\n>", "a\r\nb\r\n"),
            // Backspace and Ctrl-H; at the beginning there is nothing to erase.
            (b"\x7fab\x7f\x08\x7fc\r", r"<c\n>", "ab\x08 \x08\x08 \x08c\r\n"),
            (b"abc\x15d\r", r"<d\n>", "abc\x08 \x08\x08 \x08\x08 \x08d\r\n"),
            (b"ab cd  \x17e\r", r"<ab e\n>", "ab cd  \x08 \x08\x08 \x08\x08 \x08\x08 \x08e\r\n"),
            // Ctrl-D: the end at the beginning of a line, what there is within one.
            (b"\x04", "END", ""),
            (b"ab\x04", "<ab>", "ab"),
            (b"ab\x04\x04", "<ab> END", "ab"),
            (b"a\r\x04", r"<a\n> END", "a\r\n"),
            // Signals forget the line.
            (b"abc\x03d\r", r"Int <d\n>", "abc^Cd\r\n"),
            (b"\x1c", "Quit", "^\\"),
            (b"ab\x1ac\r", r"<c\n>", "ab^Zc\r\n"),
            // Control characters are shown as such, and erased as what they show.
            (b"\x1b[A\x7f\x7f\x7f\r", r"<\n>", "^[[A\x08 \x08\x08 \x08\x08 \x08\x08 \x08\r\n"),
            (b"\x16\x03\r", r"<\x03\n>", "^\x08^C\r\n"),
            (b"\x16\r\r", r"<\r\n>", "^\x08^M\r\n"),
            (b"ab\x12c\r", r"<abc\n>", "ab^R\r\nabc\r\n"),
            (b"a\x13\x11b\r", r"<ab\n>", "ab\r\n"),
        ] {
            assert_eq!(typed("", keys), (read.to_owned(), screen.to_owned()), "{}", keys.escape_ascii());
        }
    }

    #[test]
    fn a_character_is_erased_as_wide_as_it_is() {
        for (prompt, keys, read, screen) in [
            ("", "é\x7f\r", r"<\n>", "é\x08 \x08\r\n"),
            ("", "한\x7f\r", r"<\n>", "한\x08 \x08\x08 \x08\r\n"),
            ("", "a\t\x7f\r", r"<a\n>", &format!("a\t{}\r\n", "\x08 \x08".repeat(7))),
            // Behind a prompt, a tab is narrower.
            ("$ ", "a\t\x7f\r", r"<a\n>", &format!("a\t{}\r\n", "\x08 \x08".repeat(5))),
            ("x\n$ ", "a\t\x7f\r", r"<a\n>", &format!("a\t{}\r\n", "\x08 \x08".repeat(5))),
        ] {
            assert_eq!(typed(prompt, keys.as_bytes()), (read.to_owned(), screen.to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn a_line_has_a_longest() {
        let (read, screen) = typed("", &[vec![b'x'; MAX_LINE + 5], b"\r".to_vec()].concat());
        assert_eq!(read.len(), "<".len() + MAX_LINE - 1 + r"\n>".len());
        assert!(screen.ends_with("x\x07\x07\x07\x07\x07\x07\r\n"));
    }

    #[test]
    fn a_newline_returns_the_carriage() {
        let mut d = Discipline::default();
        let mut screen = vec![];
        d.show(b"a\nb\r\nc", &mut screen);
        assert_eq!(screen, b"a\r\nb\r\r\nc");
    }
}
