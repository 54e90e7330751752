//! WASI 0.1 core modules become components: the adapter gives them a WASI 0.2 world.
//!
//! A module that is no command is a reactor. What it exports and imports beyond WASI 0.1 is said by the component type that its
//! toolchain embedded. One that has none, and exports `wasi:http/incoming-handler`, is a function (`sdk/wit/function`): so
//! languages whose compilers know nothing of components need no other tools.
//!
//! The adapter knows of an exit only whether it was a success, so `proc_exit` is led past it, to
//! `wasi:cli/exit.exit-with-code`: exit codes stay numbers.

use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Imports, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const PREVIEW1: &str = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
/// The name under which a module finds our `proc_exit`.
const EXIT: &str = "wharf_exit";
/// Of the adapter's own WASI imports: the versions must be the same for the two to share an interface.
const EXIT_INTERFACE: &str = "wasi:cli/exit@0.2.12";

/// Wraps a core module: a command when it exports `_start`, else a reactor (whose own exports come from the
/// component type that its toolchain embedded).
pub(crate) fn wrap(module: &[u8], exports: &[String]) -> Result<Vec<u8>, String> {
    let command = exports.iter().any(|e| e == "_start");
    let bytes = if command { adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER } else { adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER };
    let mut redirected = redirect_exit(module).map_err(|e| e.to_string())?;
    if let Some(version) = function_without_type(module, exports)? {
        embed_function(redirected.get_or_insert_with(|| module.to_vec()), version)?;
    }
    let exit = redirected.as_ref().map(|_| exit_adapter()).transpose()?;
    ComponentEncoder::default()
        .validate(true)
        // A reactor's own allocator may not be ready yet when the adapter wants memory.
        .realloc_via_memory_grow(!command)
        .module(redirected.as_deref().unwrap_or(module))
        .and_then(|encoder| encoder.adapter(PREVIEW1, bytes))
        .and_then(|encoder| match &exit {
            Some(exit) => encoder.adapter(EXIT, exit),
            None => Ok(encoder),
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("core module cannot become a component: {}", chain(&error)))
}

/// The handler that a function exports, up to its version.
const HANDLER: &str = "wasi:http/incoming-handler@";
/// The world of functions, each package after those that it names; and the version of WASI that they name.
const FUNCTION: &[(&str, &str)] = &[
    ("io.wit", include_str!("../../../sdk/wit/function/deps/io.wit")),
    ("clocks.wit", include_str!("../../../sdk/wit/function/deps/clocks.wit")),
    ("http.wit", include_str!("../../../sdk/wit/function/deps/http.wit")),
    ("config.wit", include_str!("../../../sdk/wit/function/deps/config.wit")),
    ("logging.wit", include_str!("../../../sdk/wit/function/deps/logging.wit")),
    ("keyvalue.wit", include_str!("../../../sdk/wit/function/deps/keyvalue.wit")),
    ("world.wit", include_str!("../../../sdk/wit/function/world.wit")),
];
const FUNCTION_VERSION: &str = "0.2.10";

/// The version of WASI 0.2 that a function's export names, if the module is one, and has no component type.
fn function_without_type<'a>(module: &[u8], exports: &'a [String]) -> Result<Option<&'a str>, String> {
    let version = exports.iter().find_map(|e| e.strip_prefix(HANDLER)?.strip_suffix("#handle"));
    let Some(version) = version.filter(|v| v.strip_prefix("0.2.").is_some_and(|patch| patch.parse::<u8>().is_ok())) else { return Ok(None) };
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.map_err(|e| e.to_string())?
            && section.name().starts_with("component-type")
        {
            return Ok(None);
        }
    }
    Ok(Some(version))
}

fn embed_function(module: &mut Vec<u8>, version: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut last = None;
    for (name, text) in FUNCTION {
        let text = text.replace(FUNCTION_VERSION, version);
        last = Some(resolve.push_str(name, &text).map_err(|e| format!("the world of functions: {e:?}"))?);
    }
    let package = last.ok_or("the world of functions is empty")?;
    let world = resolve.select_world(&[package], Some("function")).map_err(|e| format!("the world of functions: {e:?}"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(|e| format!("the world of functions: {e:?}"))
}

/// The error and its causes, on one line.
fn chain<E: std::fmt::Display>(error: &E) -> String {
    format!("{error:#}").lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The module with its import of `proc_exit` renamed; `None` when it has none (or writes it in a compact form).
fn redirect_exit(module: &[u8]) -> Result<Option<Vec<u8>>, wasmparser::BinaryReaderError> {
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload? else { continue };
        let range = section.range();
        let mut starts = Vec::new();
        let mut renamed = None;
        for group in section.into_iter_with_offsets() {
            let (offset, group) = group?;
            if let Imports::Single(_, import) = group
                && import.module == PREVIEW1
                && import.name == "proc_exit"
            {
                renamed = Some(starts.len());
            }
            starts.push(offset);
        }
        let Some(index) = renamed else { return Ok(None) };
        let start = starts[index];
        // The entry begins with the module's name and its length, which is less than 128 and so one byte.
        let after_name = start + 1 + PREVIEW1.len();
        let mut content = module[range.start..start].to_vec();
        content.push(EXIT.len() as u8);
        content.extend(EXIT.as_bytes());
        content.extend(&module[after_name..range.end]);
        let header = section_header(module, range.start, range.len());
        let mut renamed = module[..header].to_vec();
        renamed.push(2);
        leb(&mut renamed, content.len());
        renamed.extend(content);
        renamed.extend(&module[range.end..]);
        return Ok(Some(renamed));
    }
    Ok(None)
}

/// Where a section's header (its id, and its length in one to five bytes) begins, by where its content does.
fn section_header(module: &[u8], content: usize, length: usize) -> usize {
    // A length may be written longer than it need be: the bytes before the content that read as it are its.
    (1..=5).map(|width| content - width).find(|&at| module[at - 1] == 2 && read_leb(&module[at..content]) == Some(length)).map_or(content, |at| at - 1)
}

fn read_leb(bytes: &[u8]) -> Option<usize> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if (byte & 0x80 == 0) != (index + 1 == bytes.len()) {
            return None;
        }
    }
    Some(value)
}

fn leb(into: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        into.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}

/// A core module that exports `proc_exit(i32)` and calls `exit-with-code` with its low eight bits, as a process' status has.
fn exit_adapter() -> Result<Vec<u8>, String> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    let mut section = |id: u8, content: &[u8]| {
        wasm.push(id);
        leb(&mut wasm, content.len());
        wasm.extend(content);
    };
    let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
    section(1, &[1, 0x60, 1, 0x7f, 0]); // (type (func (param i32)))
    section(2, &[&[1][..], &named(EXIT_INTERFACE), &named("exit-with-code"), &[0, 0]].concat());
    section(3, &[1, 0]);
    section(7, &[&[1][..], &named("proc_exit"), &[0, 1]].concat());
    // local.get 0, i32.const 255, i32.and, call 0, unreachable, end
    section(10, &[1, 11, 0, 0x20, 0, 0x41, 0xff, 0x01, 0x71, 0x10, 0, 0x00, 0x0b][..]);
    let mut resolve = Resolve::default();
    let wit = "package wharf:adapter;
         world exit { import wasi:cli/exit@0.2.12; }
         package wasi:cli@0.2.12 { interface exit { exit-with-code: func(status-code: u8); } }";
    resolve
        .push_str("exit.wit", wit)
        .map_err(|e| format!("{e:?}"))
        .and_then(|package| resolve.select_world(&[package], None).map_err(|e| format!("{e:?}")))
        .and_then(|world| embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).map_err(|e| format!("{e:?}")))?;
    Ok(wasm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect;

    #[test]
    fn exits_are_led_past_the_adapter() {
        let module = include_bytes!("../../../tests/guests/module-p1/module-p1.wasm");
        let outside = inspect(module, &crate::Limits::default()).unwrap();
        assert!(!outside.component && outside.imports.contains(&"wasi_snapshot_preview1::proc_exit".to_string()));
        let renamed = redirect_exit(module).unwrap().unwrap();
        let inside = inspect(&renamed, &crate::Limits::default()).unwrap();
        assert!(inside.imports.contains(&"wharf_exit::proc_exit".to_string()));
        assert_eq!(inside.imports.len(), outside.imports.len());
        let component = wrap(module, &outside.exports).unwrap();
        let component = inspect(&component, &crate::Limits::default()).unwrap();
        assert!(component.imports.contains(&EXIT_INTERFACE.to_string()), "{component:?}");
        assert_eq!(component.entries, [crate::Entry::CliP2]);
    }

    #[test]
    fn lengths() {
        for value in [0, 1, 127, 128, 300, 70_000] {
            let mut bytes = Vec::new();
            leb(&mut bytes, value);
            assert_eq!(read_leb(&bytes), Some(value));
        }
        assert_eq!(read_leb(&[0x85, 0x80, 0x00]), Some(5), "padded");
        assert_eq!(read_leb(&[0x05, 0x00]), None);
    }
}
