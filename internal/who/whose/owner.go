package whose

// An Owner is whose a session is, or a mail. It is not to be changed. Nil is nobody's, as far as anybody knows.
type Owner struct {
	Tenant    string // "": nobody's
	Unclaimed bool   // with Tenant: no tenant claims the mail, and it is that of the one for all others
	Later     bool   // with Tenant "": the sender's domain may tell
	Apart     bool   // there are no tenants: each MSA is one, by its address
	Final     bool   // whoever the sender is: there is nothing to ask at MAIL
	Spoofed   string // the tenant that names the sender's domain as its own, if this one does not

	number int // of the tenant, from 1
}

// Number is that of the tenant in the list that [New] was given, from 1; 0: nobody's.
func (o *Owner) Number() int {
	if o == nil {
		return 0
	}
	return o.number
}

// Name returns the tenant's name; "" where there is none.
func (o *Owner) Name() string {
	if o == nil {
		return ""
	}
	return o.Tenant
}
