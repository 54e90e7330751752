//! A container's terminal: WASI has no termios, so the node is the terminal's driver. [`Discipline`] between the client's keyboard and screen
//! and the guest's streams.

mod discipline;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use discipline::{Discipline, Typed};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};
use wharf_engine::Signal;

use crate::logs::Stream;
use crate::output::Outlet;

/// Bytes that may be typed ahead of the reader; beyond that, the bell is the answer.
const TYPED_AHEAD: usize = 64 << 10;

/// A terminal.
pub(crate) struct Terminal {
    screen: Arc<dyn Outlet>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    discipline: Discipline,
    /// Lines that were not read yet; an empty one is an end.
    lines: VecDeque<Vec<u8>>,
    reader: Option<Waker>,
    hung_up: bool,
}

impl Terminal {
    /// A terminal that shows on `screen` what is typed and written.
    pub(crate) fn new(screen: Arc<dyn Outlet>) -> Arc<Self> {
        Arc::new(Self { screen, inner: Mutex::default() })
    }

    /// What a guest writes.
    pub(crate) fn show(&self, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        let mut shown = Vec::with_capacity(bytes.len() + 16);
        inner.discipline.show(bytes, &mut shown);
        self.screen.put(Stream::Stdout, &shown);
    }

    /// What a client types. The signals are for the process.
    pub(crate) fn receive(&self, bytes: &[u8]) -> Vec<Signal> {
        let mut inner = self.inner.lock();
        let (mut echo, mut signals) = (vec![], vec![]);
        for typed in inner.discipline.receive(bytes, &mut echo) {
            let line = match typed {
                Typed::Line(line) => line,
                Typed::End => vec![],
                Typed::Signal(signal) => {
                    inner.lines.clear();
                    signals.push(signal);
                    continue;
                }
            };
            if inner.lines.iter().map(|l| l.len() + 1).sum::<usize>() + line.len() < TYPED_AHEAD {
                inner.lines.push_back(line);
            } else {
                echo.push(0x07);
            }
        }
        self.screen.put(Stream::Stdout, &echo);
        inner.wake();
        signals
    }

    /// Nobody will type any more: once all is read, there is nothing but the end.
    pub(crate) fn hang_up(&self) {
        let mut inner = self.inner.lock();
        inner.hung_up = true;
        inner.wake();
    }

    /// What the guest reads from.
    pub(crate) fn keyboard(self: &Arc<Self>) -> Keyboard {
        Keyboard(self.clone())
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The guest's end of a terminal: a read gives one line at most, and an end is met once.
pub(crate) struct Keyboard(Arc<Terminal>);

impl AsyncRead for Keyboard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.inner.lock();
        match inner.lines.pop_front() {
            Some(mut line) => {
                let rest = line.split_off(line.len().min(into.remaining()));
                into.put_slice(&line);
                if !rest.is_empty() {
                    inner.lines.push_front(rest);
                }
            }
            None if inner.hung_up => {}
            None => {
                inner.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::output::Fan;

    #[tokio::test]
    async fn a_reader_gets_a_line_at_a_time_and_an_end_once() {
        let fan = Arc::new(Fan::default());
        let mut screen = fan.tap();
        let terminal = Terminal::new(fan.clone());
        let mut keyboard = terminal.keyboard();
        assert_eq!(terminal.receive(b"one\rtwo\r\x04th"), []);
        let mut buffer = [0; 64];
        let mut got = vec![];
        for _ in 0..3 {
            let n = keyboard.read(&mut buffer).await.unwrap();
            got.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
        }
        assert_eq!(got, ["one\n", "two\n", ""]);
        let reading = tokio::spawn(async move {
            let n = keyboard.read(&mut buffer[..2]).await.unwrap();
            let m = keyboard.read(&mut buffer[n..]).await.unwrap();
            (String::from_utf8_lossy(&buffer[..n + m]).into_owned(), keyboard)
        });
        tokio::task::yield_now().await;
        terminal.receive(b"ree\r");
        let (line, mut keyboard) = reading.await.unwrap();
        assert_eq!(line, "three\n");
        assert_eq!(terminal.receive(b"unread\r\x03"), [Signal::Int]);
        terminal.receive(b"last\r");
        terminal.hang_up();
        let mut rest = String::new();
        keyboard.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last\n");
        terminal.show(b"out\n");
        fan.close();
        let mut shown = vec![];
        while let Some((_, piece)) = screen.next().await {
            shown.extend_from_slice(&piece);
        }
        assert_eq!(String::from_utf8(shown).unwrap(), "one\r\ntwo\r\nthree\r\nunread\r\n^Clast\r\nout\r\n");
    }

    #[test]
    fn what_is_typed_ahead_is_bounded() {
        let fan = Arc::new(Fan::default());
        let terminal = Terminal::new(fan);
        for _ in 0..200 {
            terminal.receive(&[&[b'x'; 1000][..], b"\r"].concat());
        }
        let held: usize = terminal.inner.lock().lines.iter().map(Vec::len).sum();
        assert!(held <= TYPED_AHEAD && held > TYPED_AHEAD - 2000, "{held}");
    }
}
