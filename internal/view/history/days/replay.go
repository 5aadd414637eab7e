package days

// replay does again what a day's attempts did to the main file.
func (j *joining) replay(*volume) error { return nil }
