//! Services, operations, and the typed requests and answers: one variant an
//! operation, defined from the generated list.

use crate::generated::operations::{OPERATIONS, SERVICES};
use crate::schema::Shape;
use crate::value::Record;

macro_rules! define {
    (services: $(($service:ident, $service_module:ident))*
     operations: $(($variant:ident, $of:ident, $module:ident, $function:ident, $input:ident, $output:ident, $access:ident))*) => {
        /// A service with implemented operations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Service {
            $($service,)*
        }

        /// An implemented operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Operation {
            $($variant,)*
        }

        /// A decoded request.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Input {
            $($variant(Box<crate::$module::$input>),)*
        }

        /// An answer to be encoded.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Output {
            $($variant(Box<crate::$module::$output>),)*
        }

        impl Input {
            /// An input with nothing set.
            pub fn empty(operation: Operation) -> Input {
                match operation {
                    $(Operation::$variant => Input::$variant(Box::default()),)*
                }
            }

            /// The operation that it asks for.
            pub fn operation(&self) -> Operation {
                match self {
                    $(Input::$variant(_) => Operation::$variant,)*
                }
            }

            /// Its members, for codecs.
            pub fn record(&self) -> &dyn Record {
                match self {
                    $(Input::$variant(input) => &**input,)*
                }
            }

            /// Its members, to be filled.
            pub fn record_mut(&mut self) -> &mut dyn Record {
                match self {
                    $(Input::$variant(input) => &mut **input,)*
                }
            }
        }

        impl Output {
            /// An output with nothing set.
            pub fn empty(operation: Operation) -> Output {
                match operation {
                    $(Operation::$variant => Output::$variant(Box::default()),)*
                }
            }

            /// The operation that it answers.
            pub fn operation(&self) -> Operation {
                match self {
                    $(Output::$variant(_) => Operation::$variant,)*
                }
            }

            /// Its members, for codecs.
            pub fn record(&self) -> &dyn Record {
                match self {
                    $(Output::$variant(output) => &**output,)*
                }
            }

            /// Its members, to be filled.
            pub fn record_mut(&mut self) -> &mut dyn Record {
                match self {
                    $(Output::$variant(output) => &mut **output,)*
                }
            }
        }
    };
}

for_each_operation!(define);

/// What the codecs need of an operation.
#[derive(Debug)]
pub struct OperationInfo {
    /// The operation.
    pub operation: Operation,
    /// Its service.
    pub service: Service,
    /// Its name in the API.
    pub name: &'static str,
    /// Whether it is answered from memory.
    pub read: bool,
    /// Schema of its input.
    pub input: &'static Shape,
    /// Schema of its output.
    pub output: &'static Shape,
    /// Whether the model has no output for it.
    pub void: bool,
    /// Element around the output in the query protocol.
    pub result_wrapper: Option<&'static str>,
}

/// What the codecs need of a service.
#[derive(Debug)]
pub struct ServiceInfo {
    /// The service.
    pub service: Service,
    /// The SDKs' service id: `Auto Scaling`.
    pub id: &'static str,
    /// Its full name.
    pub full_name: &'static str,
    /// API version, which tells query services apart.
    pub version: &'static str,
    /// Service name in SigV4 scopes.
    pub signing_name: &'static str,
    /// XML namespace of query answers; empty when it has none.
    pub namespace: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub target_prefix: Option<&'static str>,
    /// `1.0` or `1.1`.
    pub json_version: Option<&'static str>,
    /// Whether JSON and CBOR errors tell the query protocol's code in a header.
    pub query_compatible: bool,
    /// The modelled errors.
    pub errors: &'static [ErrorShape],
    /// All operations of the service, implemented or not, sorted.
    pub known: &'static [&'static str],
}

/// A modelled error.
#[derive(Debug)]
pub struct ErrorShape {
    /// The shape's name: `__type` in JSON and CBOR.
    pub shape: &'static str,
    /// The code in the query protocols.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
}

impl Service {
    /// All services.
    pub fn all() -> impl Iterator<Item = Service> {
        SERVICES.iter().map(|info| info.service)
    }

    /// What the model says of it.
    pub fn info(self) -> &'static ServiceInfo {
        &SERVICES[self as usize]
    }
}

impl Operation {
    /// All implemented operations.
    pub fn all() -> impl Iterator<Item = Operation> {
        OPERATIONS.iter().map(|info| info.operation)
    }

    /// What the model says of it.
    pub fn info(self) -> &'static OperationInfo {
        &OPERATIONS[self as usize]
    }

    /// Its name in the API, `RunInstances`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Its service.
    pub fn service(self) -> Service {
        self.info().service
    }

    /// Whether it is answered from memory, without a commit.
    pub fn is_read(self) -> bool {
        self.info().read
    }

    /// The implemented operation of a service by its name (case counts).
    pub fn find(service: Service, name: &str) -> Option<Operation> {
        OPERATIONS.iter().find(|info| info.service == service && info.name == name).map(|info| info.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables are indexed by the enums; an order that differs would answer
    /// one operation with the schema of another.
    #[test]
    fn tables_follow_the_enums() {
        for (index, info) in OPERATIONS.iter().enumerate() {
            assert_eq!(info.operation as usize, index);
            assert_eq!(Input::empty(info.operation).operation(), info.operation);
            assert_eq!(Operation::find(info.service, info.name), Some(info.operation));
        }
        for (index, info) in SERVICES.iter().enumerate() {
            assert_eq!(info.service as usize, index);
        }
    }
}
