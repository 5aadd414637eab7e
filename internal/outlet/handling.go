package outlet

import "kanmon/internal/outlet/route"

// Handling is what is done about refusals of a mail, as its route says.
type Handling = route.Handling

// RescueMode says whether another sending IP is spent on it.
type RescueMode = route.RescueMode

// The modes.
const (
	RescueOn      = route.RescueOn
	RescueObserve = route.RescueObserve
	RescueOff     = route.RescueOff
)
