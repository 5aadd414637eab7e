package outlet

import "kanmon/internal/outlet/route"

// What is done about refusals, routes say.

type (
	Handling   = route.Handling
	RescueMode = route.RescueMode
)

// The modes.
const (
	RescueOn      = route.RescueOn
	RescueObserve = route.RescueObserve
	RescueOff     = route.RescueOff
)
