package inspect

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/netip"
)

// The messages of [Room.Probe]. Their senders and recipients are of a domain that is nobody's (RFC 2606).
const (
	probeSender    = "probe@kanmon.invalid"
	probeRecipient = "one@kanmon.invalid"
	probeSecond    = "two@kanmon.invalid"
	probeAccount   = "kanmon-probe@kanmon.invalid"
)

// probeSource is of a network for documentation (RFC 5737).
var probeSource = netip.AddrFrom4([4]byte{192, 0, 2, 25})

// eicarHex is the test file that every virus scanner knows, which must not lie in the program, or in its source, as it is.
const eicarHex = "58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a"

// gtubeHex is the text that every spam scanner knows, likewise.
const gtubeHex = "584a532a43344a44425141444e312e4e53424e332a3249444e454e2a47545542452d5354414e444152442d414e54492d5542452d544553542d454d41494c2a432e333458"

const probeHeader = "From: <" + probeSender + ">\r\nTo: <" + probeRecipient + ">\r\nSubject: probe of the scanners\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <probe@kanmon.invalid>\r\nMIME-Version: 1.0\r\n"

func plainMessage(fields, text string) []byte {
	return []byte(probeHeader + fields + "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + text + "\r\n")
}

// Ordinary is a message in which there is nothing to find, with further header fields, each with its CRLF.
func Ordinary(fields ...string) []byte {
	var more string
	for _, f := range fields {
		more += f
	}
	return plainMessage(more, "This is a probe. It goes to nobody.")
}

// GTUBE is a message that every spam scanner takes for spam.
func GTUBE() []byte { return plainMessage("", unhex(gtubeHex)) }

// EICAR is a message with the test file that every virus scanner knows attached.
func EICAR() []byte {
	return []byte(probeHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is a probe.\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=eicar.com\r\nContent-Disposition: attachment; filename=eicar.com\r\n\r\n" +
		unhex(eicarHex) + "\r\n--b--\r\n")
}

func unhex(text string) string {
	octets, _ := hex.DecodeString(text) // they are constants
	return string(octets)
}

// ProbeMail is the mail of a probe's message: to two recipients, by an account, from an address that is nobody's.
func ProbeMail(message []byte) *Mail {
	return &Mail{
		ID: "probe", Tenant: "kanmon", Account: probeAccount, Source: probeSource, Helo: "kanmon.invalid", Sender: probeSender,
		Recipients: []string{probeRecipient, probeSecond}, SendingIP: probeSource, Octets: int64(len(message)),
		Open: func() io.Reader { return bytes.NewReader(message) },
	}
}
