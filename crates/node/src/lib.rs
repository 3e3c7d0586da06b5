//! One supervisor: agent always, manager when the certificate says so.
