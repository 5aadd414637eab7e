package journal

// A Mask is how the records show whom an address is of, for whoever looks in them for one that he has in plain text.
type Mask struct {
	Mode AddressMode
	Key  []byte // of AddressesHashed
}

// Address returns what the records show of an address, as it stands in the angle brackets of MAIL and RCPT.
func (m Mask) Address(path string) string {
	if m.Mode == AddressesClear {
		return path
	}
	return string(newGuard(m.Mode, m.Key).address([]byte(path)))
}

// MessageID returns what they show of a Message-ID without its angle brackets; "": nothing.
func (m Mask) MessageID(id string) string {
	if m.Mode == AddressesClear {
		return id
	}
	return string(newGuard(m.Mode, m.Key).messageID([]byte(id)))
}
