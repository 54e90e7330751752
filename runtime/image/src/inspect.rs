//! Looks into a module before anything is compiled: limits first, then validity, then what it imports and exports.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, Parser, Payload, Validator, WasmFeatures,
};

use crate::image::{Entry, Flavor};
use crate::options::Limits;

/// What a module or component says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// A component, not a core module.
    pub component: bool,
    /// Top-level imports: interfaces (`wasi:http/types@0.2.0`), or for a core module `module name` pairs joined by `::`.
    pub imports: Vec<String>,
    /// Top-level exports by name.
    pub exports: Vec<String>,
    /// Of the exports, those that run; HTTP first.
    pub entries: Vec<Entry>,
    /// Which engine it needs.
    pub flavor: Flavor,
}

/// Inspects bytes. The error is in words: malformed, truncated, or which limit was passed.
pub fn inspect(wasm: &[u8], limits: &Limits) -> Result<Inspection, String> {
    match wasm.get(..8) {
        Some([b'\0', b'a', b's', b'm', ..]) => {}
        _ if wasm.len() >= 4 && &wasm[..4] != b"\0asm" => return Err("not WebAssembly (no \\0asm at the start)".into()),
        _ => return Err(format!("truncated: {} bytes", wasm.len())),
    }
    if wasm.len() as u64 > limits.module {
        return Err(format!("{} bytes, the limit is {}", wasm.len(), limits.module));
    }
    let inspection = walk(wasm, limits)?;
    Validator::new_with_features(features()).validate_all(wasm).map_err(words)?;
    Ok(inspection)
}

/// What this version of the component model may use; the engine has the last word when it compiles.
fn features() -> WasmFeatures {
    WasmFeatures::default()
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::CM_ASYNC_STACKFUL
        | WasmFeatures::CM_MORE_ASYNC_BUILTINS
        | WasmFeatures::CM_ERROR_CONTEXT
        | WasmFeatures::CM_FIXED_LENGTH_LISTS
        | WasmFeatures::CM_MAP
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::LEGACY_EXCEPTIONS
}

fn words(error: wasmparser::BinaryReaderError) -> String {
    let text = error.message();
    let truncated = if text.contains("unexpected end") { "truncated: " } else { "" };
    format!("{truncated}{text} (at offset {:#x})", error.offset())
}

/// One pass without validation: cheap, and bounded by the module's own size.
fn walk(wasm: &[u8], limits: &Limits) -> Result<Inspection, String> {
    let mut found = Inspection::default();
    let mut functions: u64 = 0;
    let mut concurrent = false;
    // Which of the nested parsers we are in: `parse_all` goes depth first, and each ends with `End`.
    let mut depth = 0usize;
    let mut first = true;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(words)? {
            Payload::Version { encoding, .. } => {
                if first {
                    found.component = encoding == Encoding::Component;
                    first = false;
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::CodeSectionStart { count, .. } => {
                functions += u64::from(count);
                if functions > limits.functions {
                    return Err(format!("more than {} functions", limits.functions));
                }
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.as_bytes().len() as u64;
                if size > limits.function {
                    return Err(format!("a function of {size} bytes, the limit is {}", limits.function));
                }
            }
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import.map_err(words)?;
                    found.imports.push(format!("{}::{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(words)?;
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                        found.exports.push(export.name.to_string());
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(words)?;
                    match import.ty {
                        ComponentTypeRef::Type(_) => {}
                        _ => found.imports.push(import.name.name.to_string()),
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(words)?;
                    if export.kind != ComponentExternalKind::Type {
                        found.exports.push(export.name.name.to_string());
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    concurrent |= is_concurrent(&function.map_err(words)?);
                }
            }
            _ => {}
        }
    }
    found.entries = entries(&found.exports);
    let newer = |name: &String| name.starts_with("wasi:") && name.split_once('@').is_some_and(|(_, v)| v.starts_with("0.3."));
    let wants_p3 = concurrent || found.imports.iter().chain(&found.exports).any(newer);
    found.flavor = if wants_p3 { Flavor::P3 } else { Flavor::P2 };
    Ok(found)
}

fn entries(exports: &[String]) -> Vec<Entry> {
    let known = [
        ("wasi:http/handler@0.3.", Entry::HttpP3),
        ("wasi:http/incoming-handler@0.2.", Entry::HttpP2),
        ("wasi:cli/run@0.3.", Entry::CliP3),
        ("wasi:cli/run@0.2.", Entry::CliP2),
    ];
    known.iter().filter(|(prefix, _)| exports.iter().any(|e| e.starts_with(prefix))).map(|(_, entry)| *entry).collect()
}

/// Whether a canonical function needs an engine with component-model concurrency.
fn is_concurrent(function: &CanonicalFunction) -> bool {
    use CanonicalFunction as F;
    match function {
        F::Lift { options, .. } | F::Lower { options, .. } => options.contains(&CanonicalOption::Async),
        F::ResourceNew { .. } | F::ResourceDrop { .. } | F::ResourceRep { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn module_and_component_are_told_apart() {
        assert!(!inspect(EMPTY_MODULE, &Limits::default()).unwrap().component);
        assert!(inspect(EMPTY_COMPONENT, &Limits::default()).unwrap().component);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (bytes, want) in [
            (&b""[..], "truncated: 0 bytes"),
            (b"\0asm", "truncated: 4 bytes"),
            (b"#!/bin/sh\n", "not WebAssembly"),
            (b"\0asm\x02\0\0\0", "unknown binary version"),
            (b"\0asm\x01\0\0\0\x01\x7f", "truncated: unexpected end"),
            // A function type section that holds an invalid form.
            (b"\0asm\x01\0\0\0\x01\x02\x01\x11", "invalid"),
        ] {
            let error = inspect(bytes, &Limits::default()).unwrap_err();
            assert!(error.contains(want), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn every_truncation_of_a_real_module_is_refused() {
        let whole = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        inspect(whole, &Limits::default()).unwrap();
        for length in (8..whole.len()).step_by(whole.len() / 40) {
            let cut = inspect(&whole[..length], &Limits::default());
            // A cut between two sections may leave a shorter module whose code is missing: that is refused as well.
            assert!(length == 8 || cut.is_err(), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn limits_come_first() {
        let wasm = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        let few = Limits { functions: 3, ..Limits::default() };
        assert_eq!(inspect(wasm, &few).unwrap_err(), "more than 3 functions");
        let short = Limits { function: 10, ..Limits::default() };
        assert!(inspect(wasm, &short).unwrap_err().contains("the limit is 10"));
        let small = Limits { module: 10, ..Limits::default() };
        assert!(inspect(wasm, &small).unwrap_err().contains("the limit is 10"));
    }
}
