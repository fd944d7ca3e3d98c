//! The one writer: takes changes from sources, makes them durable, publishes them.
