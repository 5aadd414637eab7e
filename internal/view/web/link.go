package web

import (
	"fmt"
	"net/url"
	"strings"
)

// link makes the path of a page of this server: parts that are names are escaped, and of the query what is empty is left out.
// link "/tenants" "acme" gives /tenants/acme; link "/sessions?" "provider" "docomo" gives /sessions?provider=docomo.
func link(to string, parts ...any) string {
	path, asks := strings.CutSuffix(to, "?")
	if !asks {
		for _, p := range parts {
			path += "/" + url.PathEscape(fmt.Sprint(p))
		}
		return path
	}
	values := url.Values{}
	for i := 0; i+1 < len(parts); i += 2 {
		if value := fmt.Sprint(parts[i+1]); value != "" {
			values.Set(fmt.Sprint(parts[i]), value)
		}
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}
