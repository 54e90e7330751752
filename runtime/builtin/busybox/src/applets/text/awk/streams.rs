//! Where awk reads from and writes to.

use std::rc::Rc;

use super::code::{self, Compiled};
use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, Output, pipe};
use crate::rt::{self, Task};

/// The longest record.
const LONGEST: usize = 64 << 20;

/// What ends a record.
pub enum Ending {
    Byte(u8),
    /// Empty lines.
    Paragraph,
    Regex(Rc<Compiled>),
}

impl Ending {
    pub fn new(text: &str) -> Result<Ending> {
        Ok(match text.as_bytes() {
            [] => Ending::Paragraph,
            [byte] => Ending::Byte(*byte),
            _ => Ending::Regex(code::regex(text).map_err(Error::new)?),
        })
    }
}

pub struct Reader {
    input: Descriptor,
    buffer: Vec<u8>,
    ended: bool,
    /// The command that writes.
    task: Option<Task<i32>>,
}

impl Reader {
    pub fn new(input: Descriptor) -> Reader {
        Reader { input, buffer: Vec::new(), ended: false, task: None }
    }

    /// What a command prints.
    pub fn of_command(cx: &Context, command: &str) -> Reader {
        let (reader, writer) = pipe();
        let mut child = cx.child(["sh", "-c", command]);
        child.stdout = Output::new(writer);
        Reader { input: reader, buffer: Vec::new(), ended: false, task: Some(rt::spawn(child.run())) }
    }

    pub async fn record(&mut self, ending: &Ending) -> Result<Option<String>> {
        let bytes = match ending {
            Ending::Byte(byte) if self.buffer.is_empty() => {
                let Some(mut line) = self.input.read_until(*byte).await? else { return Ok(None) };
                if line.last() == Some(byte) {
                    line.pop();
                }
                line
            }
            ending => match self.from_buffer(ending).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }

    async fn from_buffer(&mut self, ending: &Ending) -> Result<Option<Vec<u8>>> {
        loop {
            if matches!(ending, Ending::Paragraph) {
                let newlines = self.buffer.iter().take_while(|byte| **byte == b'\n').count();
                self.buffer.drain(..newlines);
            }
            let found = match ending {
                Ending::Byte(byte) => self.buffer.iter().position(|other| other == byte).map(|at| (at, at + 1)),
                Ending::Paragraph => memchr::memmem::find(&self.buffer, b"\n\n").map(|at| (at, at + 2)),
                Ending::Regex(compiled) => {
                    let found = compiled.regex.find_at(&self.buffer, 0).and_then(|groups| groups[0]).filter(|(from, to)| to > from);
                    // At the buffer's end it might become longer.
                    found.filter(|(_, to)| *to < self.buffer.len() || self.ended)
                }
            };
            if let Some((from, to)) = found {
                let record = self.buffer[..from].to_vec();
                self.buffer.drain(..to);
                return Ok(Some(record));
            }
            if self.ended {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let mut record = std::mem::take(&mut self.buffer);
                if matches!(ending, Ending::Paragraph | Ending::Regex(_)) && record.last() == Some(&b'\n') {
                    record.pop();
                }
                return Ok(Some(record));
            }
            let some = self.input.read(64 << 10).await?;
            self.ended = some.is_empty();
            self.buffer.extend(some);
            if self.buffer.len() > LONGEST {
                return Err(Error::new("out of memory"));
            }
        }
    }

    /// Ends it: the command's exit code.
    pub async fn close(self) -> i32 {
        drop(self.input);
        match self.task {
            Some(task) => task.await,
            None => 0,
        }
    }
}

/// A file or a command that is written to.
pub struct Writer {
    output: Output,
    task: Option<Task<i32>>,
}

impl Writer {
    pub fn new(output: Output) -> Writer {
        Writer { output, task: None }
    }

    pub fn of_command(cx: &Context, command: &str) -> Writer {
        let (reader, writer) = pipe();
        let mut child = cx.child(["sh", "-c", command]);
        child.stdin = reader;
        Writer { output: Output::new(writer), task: Some(rt::spawn(child.run())) }
    }

    pub fn output(&self) -> &Output {
        &self.output
    }

    pub async fn close(self) -> Result<i32> {
        let written = self.output.flush().await;
        drop(self.output);
        Ok(match self.task {
            Some(task) => task.await,
            None => {
                written?;
                0
            }
        })
    }
}
