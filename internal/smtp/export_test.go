package smtp

// Holds reports whether a buffer is held.
func (r *Reader) Holds() bool { return r.buf != nil }
