//! Redirections.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};

use super::ast::{Redirect, To};
use super::state::{Fault, Shell};
use crate::io::{Descriptor, reason};

/// The descriptors that a redirection replaced, in order.
#[derive(Default)]
pub struct Saved(Vec<(u32, Descriptor)>);

impl Shell {
    /// Puts descriptors in place; after an error everything is as before.
    pub async fn redirect(&mut self, redirects: &[Redirect]) -> Result<Saved, Fault> {
        let mut saved = Saved::default();
        for redirect in redirects {
            if let Err(fault) = self.redirect_one(redirect, &mut saved).await {
                self.restore_descriptors(saved);
                return Err(fault);
            }
        }
        Ok(saved)
    }

    pub fn restore_descriptors(&mut self, saved: Saved) {
        for (number, descriptor) in saved.0.into_iter().rev() {
            self.cx.set_descriptor(number, descriptor);
        }
    }

    fn replace(&mut self, number: u32, descriptor: Descriptor, saved: &mut Saved) {
        saved.0.push((number, self.cx.descriptor(number)));
        self.cx.set_descriptor(number, descriptor);
    }

    async fn redirect_one(&mut self, redirect: &Redirect, saved: &mut Saved) -> Result<(), Fault> {
        let input = redirect.number.unwrap_or(0);
        let output = redirect.number.unwrap_or(1);
        match &redirect.to {
            To::Read(word) => {
                let path = self.text(word).await?;
                let descriptor = self.cx.open(&path).map_err(|error| cannot("open", &path, "no such file", &error))?;
                self.replace(input, descriptor, saved);
            }
            To::Write { word, clobber } => {
                let path = self.text(word).await?;
                let descriptor = self.create(&path, *clobber || !self.options.noclobber)?;
                self.replace(output, descriptor, saved);
            }
            To::Both(word) => {
                let path = self.text(word).await?;
                let descriptor = self.create(&path, !self.options.noclobber)?;
                self.replace(1, descriptor.clone(), saved);
                self.replace(2, descriptor, saved);
            }
            To::Append(word) => {
                let path = self.text(word).await?;
                let descriptor = self.cx.create(&path, true).map_err(|error| cannot("create", &path, "nonexistent directory", &error))?;
                self.replace(output, descriptor, saved);
            }
            To::ReadWrite(word) => {
                let path = self.text(word).await?;
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                let descriptor = self.cx.open_with(&path, &options).map_err(|error| cannot("create", &path, "nonexistent directory", &error))?;
                self.replace(input, descriptor, saved);
            }
            To::Duplicate { word, input: reads } => {
                let number = if *reads { input } else { output };
                let source = self.text(word).await?;
                let descriptor = match source.parse::<u32>() {
                    _ if source == "-" => Descriptor::closed(),
                    Ok(source) => {
                        let descriptor = self.cx.descriptor(source);
                        if descriptor.is_closed() {
                            return Err(Fault::new(1, format!("{source}: Bad file descriptor")));
                        }
                        descriptor
                    }
                    Err(_) => return Err(Fault::fatal("syntax error: bad fd number")),
                };
                self.replace(number, descriptor, saved);
            }
            To::Here(document) => {
                let text = match document.get() {
                    Some(word) => self.text(&[super::ast::Part::Double(word.clone())]).await?,
                    None => String::new(),
                };
                self.replace(input, Descriptor::bytes(text), saved);
            }
            To::HereString(word) => {
                let text = self.text(word).await? + "\n";
                self.replace(input, Descriptor::bytes(text), saved);
            }
        }
        Ok(())
    }

    fn create(&self, path: &str, clobber: bool) -> Result<Descriptor, Fault> {
        let result = match clobber || !self.cx.path(path).is_file() {
            true => self.cx.create(path, false),
            false => Err(ErrorKind::AlreadyExists.into()),
        };
        result.map_err(|error| cannot("create", path, "nonexistent directory", &error))
    }
}

fn cannot(what: &str, path: &str, missing: &str, error: &io::Error) -> Fault {
    let why = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing.to_string(),
        ErrorKind::AlreadyExists => "File exists".into(),
        _ => reason(error),
    };
    Fault::new(1, format!("can't {what} {path}: {why}"))
}
