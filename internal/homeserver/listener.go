package homeserver

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
)

// Listener is where Synapse answers HTTP.
type Listener struct {
	// Address is host and port, Socket the path of a Unix socket. One of them is set.
	Address, Socket string
	TLS             bool
	// Resources are such as client, federation, media, replication.
	Resources []string
}

// URL is where the listener is reached from its own machine.
func (l Listener) URL() string {
	switch {
	case l.Socket != "":
		return (&url.URL{Scheme: "unix", Path: l.Socket}).String()
	case l.TLS:
		return "https://" + l.Address
	}
	return "http://" + l.Address
}

// AdminAPI lists the listeners that serve the admin API, which goes with the client resource, the plainest way first: no
// certificate to check, then a socket, then TLS.
func (c *Config) AdminAPI() []Listener {
	client := slices.DeleteFunc(slices.Clone(c.Listeners), func(l Listener) bool { return !slices.Contains(l.Resources, "client") })
	rank := func(l Listener) int {
		switch {
		case l.Socket != "":
			return 1
		case l.TLS:
			return 2
		}
		return 0
	}
	slices.SortStableFunc(client, func(a, b Listener) int { return cmp.Compare(rank(a), rank(b)) })
	return client
}

func listeners(all section) (list []Listener, err error) {
	for i, s := range all.sections("listeners") {
		if s.text("type") != "http" {
			continue
		}
		l := Listener{Socket: s.text("path"), TLS: s.truth("tls", false)}
		for _, resource := range s.sections("resources") {
			l.Resources = append(l.Resources, resource.texts("names")...)
		}
		if l.TLS && all.truth("no_tls", false) {
			continue
		}
		if l.Socket == "" {
			port, err := strconv.ParseUint(s.text("port"), 10, 16)
			if err != nil || port == 0 {
				return nil, fmt.Errorf("listener %d has neither a port nor a path", i+1)
			}
			addresses := s.texts("bind_addresses")
			if one := s.text("bind_address"); one != "" {
				addresses = append(addresses, one)
			}
			l.Address = net.JoinHostPort(reachable(addresses), strconv.FormatUint(port, 10))
		}
		list = append(list, l)
	}
	return list, nil
}

// reachable chooses the address by which the machine reaches itself.
func reachable(addresses []string) string {
	everywhere := []string{"", "0.0.0.0", "::", "127.0.0.1", "localhost"}
	for _, address := range addresses {
		if slices.Contains(everywhere, address) {
			return "localhost"
		}
	}
	if len(addresses) == 0 {
		return "localhost"
	}
	return addresses[0]
}
