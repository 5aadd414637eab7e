package check

import "fmt"

var pageAsRoot = declare(Kind{
	ID: "page-as-root", Severity: Warning,
	Meaning: "user of [web] is root, by this or another name",
	Why:     "kanmon takes what root asks for by hand for the page's, and changes nothing for it without a person's name",
	Cure:    `user = "kanmon-view" in [web]`,
})

// page: whose processes speak for persons.
func (c *checker) page() {
	name := c.Config.Web.User
	if u, err := c.Host.FindUser(name); err == nil && u.ID == 0 { // that it is not there is the page's to say
		c.find(pageAsRoot, "web.user", fmt.Sprintf("%q is root: its processes speak for the persons who use the page, so what root asks for by hand is refused where it would change anything", name), "")
	}
}
