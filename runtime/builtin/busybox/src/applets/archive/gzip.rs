//! `gzip [-cfkdtqvn123456789] [FILE]…`, `gunzip`, `zcat`.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, Output, reason};

const CHUNK: usize = 64 << 10;
/// Flags of a member's head.
const HAS_CHECKSUM: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;

/// What a compressed input holds.
pub struct Inflater {
    input: Descriptor,
    buffer: Vec<u8>,
    ended: bool,
    member: Option<(Decompress, Crc)>,
    any: bool,
}

impl Inflater {
    /// `begun` was read from the input already.
    pub fn new(input: Descriptor, begun: Vec<u8>) -> Inflater {
        Inflater { input, buffer: begun, ended: false, member: None, any: false }
    }

    async fn fill(&mut self) -> Result<bool> {
        let bytes = self.input.read(CHUNK).await?;
        self.ended = bytes.is_empty();
        self.buffer.extend(bytes);
        Ok(!self.ended)
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await? {
                return Err(Error::new("unexpected end of file"));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn skip_text(&mut self) -> Result<()> {
        while self.take(1).await? != [0] {}
        Ok(())
    }

    /// Reads the head of a member; false where there is none.
    async fn begin(&mut self) -> Result<bool> {
        while self.buffer.len() < 2 && self.fill().await? {}
        if self.buffer.is_empty() || self.any && !self.buffer.starts_with(&[0x1f, 0x8b]) {
            return Ok(false);
        }
        if !self.buffer.starts_with(&[0x1f, 0x8b]) {
            return Err(Error::new("invalid magic"));
        }
        let head = self.take(10).await?;
        if head[2] != 8 {
            return Err(Error::new("unknown compression method"));
        }
        let flags = head[3];
        if flags & HAS_EXTRA != 0 {
            let length = self.take(2).await?;
            self.take(usize::from(u16::from_le_bytes([length[0], length[1]]))).await?;
        }
        for flag in [HAS_NAME, HAS_COMMENT] {
            if flags & flag != 0 {
                self.skip_text().await?;
            }
        }
        if flags & HAS_CHECKSUM != 0 {
            self.take(2).await?;
        }
        self.any = true;
        self.member = Some((Decompress::new(false), Crc::new()));
        Ok(true)
    }

    /// The next bytes; empty at the end.
    pub async fn read(&mut self) -> Result<Vec<u8>> {
        loop {
            if self.member.is_none() && !self.begin().await? {
                return if self.any { Ok(Vec::new()) } else { Err(Error::new("unexpected end of file")) };
            }
            if self.buffer.is_empty() && !self.ended {
                self.fill().await?;
            }
            let Some((inflate, crc)) = &mut self.member else { continue };
            let mut out = Vec::with_capacity(CHUNK);
            let before = inflate.total_in();
            let status = inflate.decompress_vec(&self.buffer, &mut out, FlushDecompress::None).map_err(|_| Error::new("corrupted data"))?;
            let used = inflate.total_in() - before;
            self.buffer.drain(..used as usize);
            crc.update(&out);
            if status == Status::StreamEnd {
                let (sum, length) = (crc.sum(), crc.amount());
                self.member = None;
                let tail = self.take(8).await?;
                if tail[..4] != sum.to_le_bytes() {
                    return Err(Error::new("crc error"));
                }
                if tail[4..] != length.to_le_bytes() {
                    return Err(Error::new("incorrect length"));
                }
            } else if out.is_empty() && used == 0 && self.ended {
                return Err(Error::new("unexpected end of file"));
            }
            crate::rt::pause().await;
            if !out.is_empty() {
                return Ok(out);
            }
        }
    }
}

/// Compresses what it is given.
pub struct Deflater {
    deflate: Compress,
    crc: Crc,
    output: Output,
}

impl Deflater {
    pub async fn new(output: Output, level: u32) -> Result<Deflater> {
        output.write([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).await?;
        Ok(Deflater { deflate: Compress::new(Compression::new(level), false), crc: Crc::new(), output })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc.update(bytes);
        self.run(bytes, FlushCompress::None).await
    }

    async fn run(&mut self, mut bytes: &[u8], flush: FlushCompress) -> Result<()> {
        loop {
            let mut out = Vec::with_capacity(CHUNK);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(bytes, &mut out, flush).map_err(|error| Error::new(error.to_string()))?;
            bytes = &bytes[(self.deflate.total_in() - before) as usize..];
            let room = out.len() < out.capacity();
            self.output.write(out).await?;
            if status == Status::StreamEnd || flush == FlushCompress::None && bytes.is_empty() && room {
                return Ok(());
            }
        }
    }

    pub async fn finish(mut self) -> Result<()> {
        self.run(&[], FlushCompress::Finish).await?;
        self.output.write(self.crc.sum().to_le_bytes()).await?;
        self.output.write(self.crc.amount().to_le_bytes()).await?;
        Ok(self.output.flush().await?)
    }
}

pub async fn gzip(cx: &mut Context) -> Result {
    let long = [("stdout", 'c'), ("decompress", 'd'), ("force", 'f'), ("keep", 'k'), ("test", 't'), ("quiet", 'q'), ("verbose", 'v')];
    let options = cx.options("cdfkltqvn123456789S:", &long)?;
    let name = cx.name().to_string();
    let decompresses = matches!(name.as_str(), "gunzip" | "zcat") || options.has('d') || options.has('t');
    let to_stdout = options.has('c') || name == "zcat" || options.has('t');
    let level = options.all().filter_map(|(letter, _)| letter.to_digit(10)).last().unwrap_or(6);
    let suffix = options.value('S').map_or(".gz".to_string(), |suffix| if suffix.starts_with('.') { suffix.into() } else { format!(".{suffix}") });
    let mut code = 0;
    for operand in options.or_stdin() {
        let target = if to_stdout || operand == "-" {
            None
        } else if !decompresses {
            Some(format!("{operand}{suffix}"))
        } else if let Some(short) = operand.strip_suffix(".tgz") {
            Some(format!("{short}.tar"))
        } else if let Some(short) = operand.strip_suffix(&suffix) {
            Some(short.into())
        } else {
            cx.warn(format!("{operand}: unknown suffix - ignored")).await;
            code = 1;
            continue;
        };
        let input = if operand == "-" { Ok(cx.stdin.clone()) } else { cx.open(&operand) };
        let input = match input {
            Ok(input) => input,
            Err(error) => {
                cx.warn(format!("{operand}: {}", reason(&error))).await;
                code = 1;
                continue;
            }
        };
        if let Some(target) = target.as_deref().filter(|target| !options.has('f') && cx.path(target).exists()) {
            cx.warn(format!("can't open '{target}': File exists")).await;
            code = 1;
            continue;
        }
        let output = match &target {
            _ if options.has('t') => Output::new(Descriptor::null()),
            None => cx.stdout.clone(),
            Some(target) => Output::new(cx.create(target, false).map_err(|error| Error::about(format!("can't open '{target}'"), &error))?),
        };
        let done = if decompresses { decompress(input, &output).await } else { compress(input, output.clone(), level).await };
        if let Err(error) = done {
            if let Some(target) = &target {
                let _ = std::fs::remove_file(cx.path(target));
            }
            if error.message.is_empty() {
                return Err(error);
            }
            output.flush().await?;
            cx.warn(&error.message).await;
            code = 1;
            continue;
        }
        if target.is_some() && !options.has('k') {
            std::fs::remove_file(cx.path(&operand)).map_err(|error| Error::about(&operand, &error))?;
        }
    }
    Ok(code)
}

async fn decompress(input: Descriptor, output: &Output) -> Result<()> {
    let mut inflater = Inflater::new(input, Vec::new());
    loop {
        let bytes = inflater.read().await?;
        if bytes.is_empty() {
            return Ok(output.flush().await?);
        }
        output.write(bytes).await?;
    }
}

async fn compress(input: Descriptor, output: Output, level: u32) -> Result<()> {
    let mut deflater = Deflater::new(output, level).await?;
    loop {
        let bytes = input.read(CHUNK).await?;
        if bytes.is_empty() {
            return deflater.finish().await;
        }
        deflater.write(&bytes).await?;
    }
}
