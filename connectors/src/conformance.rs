//! What every source and every sink must pass.
