//! What may be wrong with bytes that came from a client.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Fewer bytes are there than the field needs.
    #[error("{needed} bytes are needed, {had} are there")]
    Short {
        /// Bytes of the field.
        needed: usize,
        /// Bytes that are left.
        had: usize,
    },
    /// Bytes are left behind the last field.
    #[error("{0} bytes are left")]
    Left(usize),
    /// A short string that is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// A type tag that no table knows.
    #[error("type tag {0:#04x} is not known")]
    UnknownTag(u8),
    /// A table or array inside of too many others.
    #[error("tables lie deeper than {0}")]
    TooDeep(usize),
    /// A class and method that are not known.
    #[error("class {class} has no method {method}")]
    UnknownMethod {
        /// The class's number.
        class: u16,
        /// The method's number.
        method: u16,
    },
    /// Content of a class that carries none.
    #[error("class {0} carries no content")]
    NoContent(u16),
    /// Property flags that say that more flags follow.
    #[error("property flags {0:#06x} name properties that do not exist")]
    UnknownProperties(u16),
}

/// Where what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}, {field}: {fault}")]
pub struct DecodeError {
    /// Position from the payload's beginning, in bytes.
    pub at: usize,
    /// The field, by the specification's name.
    pub field: &'static str,
    /// What is wrong.
    pub fault: Fault,
}
