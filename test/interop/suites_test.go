package interop

// The suites are requirements of this module, so that their versions are pinned and their checksums known.
import (
	_ "github.com/emersion/go-smtp"
	_ "github.com/mhale/smtpd"
)
