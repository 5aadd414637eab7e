package config

import (
	"fmt"
	"slices"

	"kanmon/internal/who/mailbox"
)

// mostPatterns bounds how many patterns each sender of a tenant is tried with.
const mostPatterns = 16

// validateAccountsOf judges how the accounts of a tenant are told.
func (d *decoder) validateAccountsOf(tenant string, t *Tenant) {
	if key := tenant + ".account_header"; d.has(key) && d.good(key) && !isFieldName(t.AccountHeader) {
		d.wrong(key, fmt.Sprintf("%q is not the name of a header", t.AccountHeader), `want a name such as "X-Authenticated-Sender"`)
	}
	for _, name := range []string{"strip_account_header", "account_header_conflict", "account_header_required", "account_domains"} {
		if key := tenant + "." + name; d.has(key) && d.good(key) && t.AccountHeader == "" {
			d.wrong(key, "there is no account_header that it could be about", "add account_header, or remove this line")
		}
	}
	d.validateDomains(tenant+".account_domains", t.AccountDomains)
	d.validateKinds(tenant, t)
	key := tenant + ".account_pattern"
	if !d.good(key) {
		return
	}
	if len(t.AccountPatterns) > mostPatterns {
		d.wrong(key, fmt.Sprintf("%d patterns are too many", len(t.AccountPatterns)), fmt.Sprintf("want %d at most: one regular expression can have alternatives", mostPatterns))
	}
	for i, text := range t.AccountPatterns {
		if item := fmt.Sprintf("%s[%d]", key, i); d.good(item) {
			if _, err := mailbox.CompilePattern(text); err != nil {
				d.wrong(item, fmt.Sprintf("%q is not a pattern: %s", text, err), `want a regular expression for the whole sender, the account in parentheses: '(news)-[0-9]+(@lists\.acme\.example)'`)
			}
		}
	}
}

// validateKinds judges what is said of lists and forwarders.
func (d *decoder) validateKinds(tenant string, t *Tenant) {
	d.validateAccounts(tenant+".lists", t.Lists)
	d.validateAccounts(tenant+".forwarders", t.Forwarders)
	for i, name := range t.Forwarders {
		if key := fmt.Sprintf("%s.forwarders[%d]", tenant, i); d.good(key) && slices.Contains(t.Lists, name) {
			d.wrong(key, fmt.Sprintf("%q is among lists, too", name), "an account is one of them: remove it from lists or from forwarders")
		}
	}
}
