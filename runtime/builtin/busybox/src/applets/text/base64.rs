//! `base64 [-d] [-w COLUMNS] [FILE]`

use crate::context::{Context, Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub async fn base64(cx: &mut Context) -> Result {
    let options = cx.options("dDiw:", &[("decode", 'd'), ("wrap", 'w'), ("ignore-garbage", 'i')])?;
    let Some(input) = cx.input(options.operands.first().map_or("-", String::as_str)).await else { return Ok(1) };
    if options.has('d') || options.has('D') {
        let (mut bits, mut count) = (0u32, 0);
        loop {
            let bytes = input.read(48 << 10).await?;
            if bytes.is_empty() {
                return if count % 4 == 1 { Err(Error::new("truncated input")) } else { Ok(0) };
            }
            let mut out = Vec::with_capacity(bytes.len() * 3 / 4);
            for byte in bytes {
                let Some(value) = ALPHABET.iter().position(|letter| *letter == byte) else {
                    if byte.is_ascii_whitespace() || byte == b'=' || options.has('i') {
                        continue;
                    }
                    cx.stdout.write(out).await?;
                    return Err(Error::new("truncated input"));
                };
                bits = bits << 6 | value as u32;
                count += 1;
                match count % 4 {
                    2 => out.push((bits >> 4) as u8),
                    3 => out.push((bits >> 2) as u8),
                    0 => out.push(bits as u8),
                    _ => {}
                }
            }
            cx.stdout.write(out).await?;
        }
    }
    let width = options.value('w').map_or(Ok(76), |text| text.parse::<usize>().map_err(|_| Error::new(format!("invalid number '{text}'"))))?;
    let (mut column, mut kept) = (0, Vec::new());
    loop {
        let bytes = input.read(48 << 10).await?;
        let last = bytes.is_empty();
        kept.extend(bytes);
        let whole = if last { kept.len() } else { kept.len() / 3 * 3 };
        let text = encode(&kept[..whole]);
        kept.drain(..whole);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let room = if width == 0 { rest.len() } else { (width - column).min(rest.len()) };
            cx.stdout.write(&rest[..room]).await?;
            rest = &rest[room..];
            column += room;
            if width > 0 && column == width {
                cx.stdout.write("\n").await?;
                column = 0;
            }
        }
        if last {
            break;
        }
    }
    if column > 0 && width > 0 {
        cx.stdout.write("\n").await?;
    }
    Ok(0)
}

/// Bytes in base 64.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            out.push(if index <= chunk.len() { char::from(ALPHABET[(value >> (18 - 6 * index)) as usize & 63]) } else { '=' });
        }
    }
    out
}
