package outlet

// A RescueMode says whether another sending IP is spent on a mail that ours was refused for.
type RescueMode uint8

// The modes.
const (
	RescueOn      RescueMode = iota
	RescueObserve            // it is recorded what would be done
	RescueOff
)

// Handling is what is done about refusals of a mail.
type Handling struct {
	Rescue  RescueMode
	Soften  bool // a 5xx that is about our IP goes to the MSA as 4xx
	Suspend bool // it gives way to what evidence has suspended or slowed
	PerHour int  // rescues of one tenant at one provider
}

// heeds reports whether evidence decides where mail leaves from. What an operator has suspended by hand always does.
func (h Handling) heeds() bool { return h.Suspend && h.Rescue != RescueObserve }
