package main

import (
	"fmt"
	"strings"
)

// What a person types behind the installation to see kanmon in a browser: the README has the same.
var pageCommands = []string{
	"printf 'a good password\\n' | kanmon web user add alice --role act",
	"systemctl enable --now kanmon-view",
}

// browse logs in, looks at the first page and suspends a sending IP, as a browser would; it prints the pages.
const browse = `
import http.cookiejar, time, urllib.error, urllib.parse, urllib.request
jar = http.cookiejar.CookieJar()
page = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
at = "http://127.0.0.1:8460"
def ask(path, **form):
    body = urllib.parse.urlencode(form).encode() if form else None
    return page.open(urllib.request.Request(at + path, body, {"Origin": at})).read().decode()
for attempt in range(100):
    try:
        ask("/login")
        break
    except urllib.error.URLError:
        time.sleep(0.1)
print(ask("/login", name="alice", password="a good password"))
print(ask("/ips/203.0.113.10/suspend", provider="google", reason="asked in the browser", **{"for": "2h"}))
print(ask("/ips/203.0.113.10/resume", provider="google", reason="and again"))
`

// openPage shows kanmon in a browser, in the sandbox of the shipped unit, with no more commands than three; what is ordered there has the
// person's name.
func openPage(r *rig) error {
	if len(pageCommands) > 3 {
		return fmt.Errorf("the page wants %d commands, want 3 at most", len(pageCommands))
	}
	for _, line := range pageCommands {
		if _, err := r.machine.run("sh", "-c", line); err != nil {
			return err
		}
	}
	out, err := r.machine.run("python3", "-c", browse)
	if err != nil {
		log, _ := r.machine.run("journalctl", "-u", "kanmon-view", "--no-pager", "-n", "20")
		return fmt.Errorf("%w\n%s", err, log)
	}
	for _, want := range []string{"At this moment", "It is out of use.", "203.0.113.10"} {
		if !strings.Contains(out, want) {
			return fmt.Errorf("want %q in the pages: %s", want, out)
		}
	}
	if err := r.finds(`alice \(web\) +suspend +IP 203.0.113.10 at google .*asked in the browser`, "kanmon", "audit"); err != nil {
		return err
	}
	_, err = r.machine.run("systemctl", "disable", "--now", "kanmon-view")
	return err
}
