//! TLS listeners and channels with certificates that change at run time.
