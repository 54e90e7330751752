//! `metadata.managedFields`: who set what, kept on every write.

use jiff::Timestamp;
use wharf_api::DynObject;
use wharf_api::apply::{Writer, update_object};
use wharf_api::status::ApiError;

use crate::ask::{Ask, WriteOptions};
use crate::verbs::update::Part;

/// Behind a create.
pub(crate) fn created(ask: &Ask<'_>, object: &mut dyn DynObject, options: &WriteOptions) -> Result<(), ApiError> {
    if options.applied {
        return Ok(());
    }
    object.meta_mut().managed_fields = None;
    record(ask, None, object, options)
}

/// Behind any other change. What subresources with code of their own change is nobody's.
pub(crate) fn updated(ask: &Ask<'_>, object: &mut dyn DynObject, old: &dyn DynObject, options: &WriteOptions, part: Part) -> Result<(), ApiError> {
    match part {
        _ if options.applied => Ok(()),
        Part::Whole => {
            object.meta_mut().managed_fields.clone_from(&old.meta().managed_fields);
            Ok(())
        }
        Part::Main | Part::Status => record(ask, Some(old), object, options),
    }
}

fn record(ask: &Ask<'_>, old: Option<&dyn DynObject>, object: &mut dyn DynObject, options: &WriteOptions) -> Result<(), ApiError> {
    let manager = ask.manager(options);
    let writer = writer(ask, &manager);
    update_object(ask.served.resource(), old, object, &writer)
}

/// The writer of a request.
pub(crate) fn writer<'a>(ask: &Ask<'a>, manager: &'a str) -> Writer<'a> {
    Writer { manager, api_version: &ask.served.info().api_version, subresource: ask.path.subresource, now: Timestamp::now() }
}
