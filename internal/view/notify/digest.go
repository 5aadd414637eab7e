package notify

import (
	"context"
	"time"
)

func (n *Notifier) daily(context.Context) (time.Duration, error) { return 0, nil }
