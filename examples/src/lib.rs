//! One idea each: see `src/bin/`. Every example runs on loopback.
