package timing

// Splits reports whether half of the IP's mail there is to leave from another IP as control, as [Detector.Split] has it for those who go by
// turns: something stands against it that is not judged yet, or that may be one tenant's doing, and there are enough other IPs.
func (v *View) Splits() bool {
	switch f := &v.Finding; f.Scope {
	case ThisIPHere:
		return !v.Told && v.suspect()
	case OneHost, OneTenant, Unpaired:
		return v.suspect()
	default:
		return false
	}
}

func (v *View) suspect() bool { return v.Finding.Evidence >= suspicious && v.Others+1 >= actsFrom }
