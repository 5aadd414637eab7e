package check

// pageRows: whose processes speak for persons.
func pageRows() []row {
	users := func(r *rig) {
		r.LookupUser = func(name string) (*User, error) {
			if name == "root" || name == "0" {
				return &User{Name: "root"}, nil
			}
			return &kanmonUser, nil
		}
	}
	const other = plain + "[web]\nuser = 'nobody'\n"
	return []row{
		{id: "page-as-root", name: "root", doc: plain + "[web]\nuser = 'root'\n", want: `web.user: "root" is root`, host: users, good: other, goodHost: users},
		{id: "page-as-root", name: "root by its number", doc: plain + "[web]\nuser = '0'\n", want: `web.user: "0" is root`, host: users, good: plain, goodHost: users},
	}
}
