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
	d.judge(rule{
		tenant + ".account_header", t.AccountHeader, isFieldName(t.AccountHeader), "%q is not the name of a header",
		`want a name such as "X-Authenticated-Sender"`,
	})
	for _, name := range []string{"strip_account_header", "account_header_conflict", "account_header_required", "account_domains"} {
		d.judge(rule{
			tenant + "." + name, nil, t.AccountHeader != "", "there is no account_header that it could be about",
			"add account_header, or remove this line",
		})
	}
	d.validateDomains(tenant+".account_domains", t.AccountDomains)
	d.validateKinds(tenant, t)
	key := tenant + ".account_pattern"
	d.judge(rule{
		key, len(t.AccountPatterns), len(t.AccountPatterns) <= mostPatterns, "%d patterns are too many",
		fmt.Sprintf("want %d at most: one regular expression can have alternatives", mostPatterns),
	})
	for i, text := range t.AccountPatterns {
		_, err := mailbox.CompilePattern(text)
		d.judge(sound(
			fmt.Sprintf("%s[%d]", key, i), text, err, "is not a pattern",
			`want a regular expression for the whole sender, the account in parentheses: '(news)-[0-9]+(@lists\.acme\.example)'`,
		))
	}
}

// validateKinds judges what is said of lists and forwarders.
func (d *decoder) validateKinds(tenant string, t *Tenant) {
	d.validateAccounts(tenant+".lists", t.Lists)
	d.validateAccounts(tenant+".forwarders", t.Forwarders)
	for i, name := range t.Forwarders {
		d.judge(rule{
			fmt.Sprintf("%s.forwarders[%d]", tenant, i), name, !slices.Contains(t.Lists, name), "%q is among lists, too",
			"an account is one of them: remove it from lists or from forwarders",
		})
	}
}
