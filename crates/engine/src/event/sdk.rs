//! Conversion to and from the CloudEvents SDK's event.
