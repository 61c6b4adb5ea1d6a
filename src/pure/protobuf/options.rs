//! The options of a schema, but for the plain ones, are left out before it is compiled.
//!
//! Nothing here reads them. The compiler makes of an option whose name has several parts, or whose
//! value is a message, messages that lie in each other as deep as a stranger likes, and it makes
//! and drops them by recursion.

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    UninterpretedOption,
};

/// Leaves out the options that are not plain, and the services, which have options, too.
pub(super) fn leave_out(file: &mut FileDescriptorProto) {
    file.service.clear();
    plain(file.options.as_mut().map(|of| &mut of.uninterpreted_option));
    file.message_type.iter_mut().for_each(of_message);
    file.enum_type.iter_mut().for_each(of_enum);
    file.extension.iter_mut().for_each(of_field);
}

/// The parser bounds how deep messages are declared in each other.
fn of_message(message: &mut DescriptorProto) {
    plain(message.options.as_mut().map(|of| &mut of.uninterpreted_option));
    message.field.iter_mut().for_each(of_field);
    message.extension.iter_mut().for_each(of_field);
    message.enum_type.iter_mut().for_each(of_enum);
    message.nested_type.iter_mut().for_each(of_message);
    for range in &mut message.extension_range {
        plain(range.options.as_mut().map(|of| &mut of.uninterpreted_option));
    }
    for oneof in &mut message.oneof_decl {
        plain(oneof.options.as_mut().map(|of| &mut of.uninterpreted_option));
    }
}

fn of_field(field: &mut FieldDescriptorProto) {
    plain(field.options.as_mut().map(|of| &mut of.uninterpreted_option));
}

fn of_enum(of: &mut EnumDescriptorProto) {
    plain(of.options.as_mut().map(|of| &mut of.uninterpreted_option));
    for value in &mut of.value {
        plain(value.options.as_mut().map(|of| &mut of.uninterpreted_option));
    }
}

/// Keeps the options with a name of one part, which is no extension, and with a simple value.
fn plain(options: Option<&mut Vec<UninterpretedOption>>) {
    let Some(options) = options else { return };
    options.retain(|option| match option.name.as_slice() {
        [name] => !name.is_extension && option.aggregate_value.is_none(),
        _ => false,
    });
}
