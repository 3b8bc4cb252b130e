package faults_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"synupkeep/proof/program"
)

// side is a proxy before one of the two servers.
type side struct {
	proxy *toxiproxy.Proxy
	n     int // of toxics that were put in
}

// through is a world that a run reaches through a proxy on each side.
type through struct {
	*world
	api, pg side
}

func (w *world) through(t *testing.T) *through {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	open := func(name, to string) side {
		p := toxiproxy.NewProxy(server, name, "127.0.0.1:0", to)
		must(t, p.Start())
		t.Cleanup(p.Stop)
		return side{proxy: p}
	}
	return &through{
		world: w,
		api:   open("api", strings.TrimPrefix(w.s.APIURL(), "http://")),
		pg:    open("pg", net.JoinHostPort(w.s.PGHost(), strconv.Itoa(w.s.PGPort()))),
	}
}

// where is the world as a run reaches it through the proxies.
func (x *through) where(t *testing.T) program.Where {
	t.Helper()
	at := x.world.where()
	_, port, err := net.SplitHostPort(x.pg.proxy.Listen)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	at.Postgres, at.APIURL = program.ThroughPort(x.s, n), "http://"+x.api.proxy.Listen
	return at
}

// toxic puts something into the connections, those that are open included; the function takes it out again.
func (d *side) toxic(t *testing.T, kind, stream, attributes string) (heal func()) {
	t.Helper()
	d.n++
	name := fmt.Sprint(kind, d.n)
	_, err := d.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%q,"stream":%q,"toxicity":1,"attributes":{%s}}`, name, kind, stream, attributes)))
	if err != nil {
		t.Error(err)
	}
	return func() {
		// A connection that blocks is waited for.
		if err := d.proxy.Toxics.RemoveToxic(context.WithoutCancel(t.Context()), name); err != nil {
			t.Error(err)
		}
	}
}

// both puts it into both directions.
func (d *side) both(t *testing.T, kind, attributes string) (heal func()) {
	t.Helper()
	up, down := d.toxic(t, kind, "upstream", attributes), d.toxic(t, kind, "downstream", attributes)
	return func() { up(); down() }
}

// down closes every connection and takes no new one.
func (d *side) down(t *testing.T) (up func()) {
	t.Helper()
	d.proxy.Stop()
	return func() {
		if err := d.proxy.Start(); err != nil {
			t.Error(err)
		}
	}
}

// cut closes every connection and takes new ones at once.
func (d *side) cut(t *testing.T) (heal func()) {
	t.Helper()
	d.down(t)()
	return func() {}
}
