//! `md5sum`, `sha1sum`, `sha256sum`, `sha512sum` and `cksum`: `[-c[sw]] [FILE]…`

use sha2::digest::DynDigest;

use crate::context::{Context, Error, Result};
use crate::io::Descriptor;

/// How many bytes are hashed before others get their turn: reading does that.
const CHUNK: usize = 64 << 10;

fn hasher(name: &str) -> Box<dyn DynDigest> {
    match name {
        "md5sum" => Box::new(md5::Md5::default()),
        "sha1sum" => Box::new(sha1::Sha1::default()),
        "sha512sum" => Box::new(sha2::Sha512::default()),
        _ => Box::new(sha2::Sha256::default()),
    }
}

async fn digest(name: &str, input: &Descriptor) -> Result<String> {
    let mut hasher = hasher(name);
    loop {
        let bytes = input.read(CHUNK).await?;
        if bytes.is_empty() {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&bytes);
    }
}

pub async fn sum(cx: &mut Context) -> Result {
    let options = cx.options("csw", &[("check", 'c'), ("status", 's'), ("warn", 'w')])?;
    let name = cx.name().to_string();
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        if !options.has('c') {
            let digest = digest(&name, &input).await?;
            cx.stdout.write(format!("{digest}  {operand}\n")).await?;
            continue;
        }
        let (mut failed, mut total) = (0, 0);
        while let Some(line) = input.read_line().await? {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_string();
            let Some((expected, file)) = text.split_once(' ').map(|(digest, file)| (digest, file.trim_start_matches([' ', '*']))) else {
                if options.has('w') {
                    cx.warn("invalid format").await;
                }
                continue;
            };
            total += 1;
            let found = match cx.input(file).await {
                Some(input) => digest(&name, &input).await?,
                None => String::new(),
            };
            let same = found.eq_ignore_ascii_case(expected);
            failed += u32::from(!same);
            if !options.has('s') {
                cx.stdout.write(format!("{file}: {}\n", if same { "OK" } else { "FAILED" })).await?;
            }
        }
        if failed > 0 {
            if !options.has('s') {
                cx.stdout.flush().await?;
                cx.warn(format!("WARNING: {failed} of {total} computed checksums did NOT match")).await;
            }
            code = 1;
        }
        if total == 0 {
            return Err(Error::new("no checksum lines found"));
        }
    }
    Ok(code)
}

/// `cksum [FILE]…`: POSIX's CRC, and the size.
pub async fn cksum(cx: &mut Context) -> Result {
    let options = cx.options("", &[])?;
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        let (mut crc, mut length) = (0u32, 0u64);
        let add = |crc: &mut u32, byte: u8| {
            *crc ^= u32::from(byte) << 24;
            for _ in 0..8 {
                *crc = if *crc & 0x8000_0000 != 0 { (*crc << 1) ^ 0x04c1_1db7 } else { *crc << 1 };
            }
        };
        loop {
            let bytes = input.read(CHUNK).await?;
            if bytes.is_empty() {
                break;
            }
            length += bytes.len() as u64;
            bytes.into_iter().for_each(|byte| add(&mut crc, byte));
        }
        let mut rest = length;
        while rest > 0 {
            add(&mut crc, rest as u8);
            rest >>= 8;
        }
        let name = if options.operands.is_empty() { String::new() } else { format!(" {operand}") };
        cx.stdout.write(format!("{} {length}{name}\n", !crc)).await?;
    }
    Ok(code)
}
