package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// front listens on the port that is part of a server's name, speaks TLS there and hands on what comes.
type front struct {
	name     string // server_name
	listener net.Listener
	server   *http.Server
	backend  *http.Transport
	served   chan struct{} // closed when the server has ended

	lock     sync.Mutex
	cut      bool
	requests sync.WaitGroup // on their way
}

// listenFront takes a free port.
func listenFront(ctx context.Context, certificate tls.Certificate) (*front, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	// Only a connection of HTTP/1.1 can be taken over and closed.
	own := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	return &front{name: "localhost:" + port, listener: tls.NewListener(l, own)}, nil
}

// serve hands on what comes to a Unix socket. Nothing is said about connections that end.
func (f *front) serve(socket string) {
	f.backend = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", f.name // the Host of the request stays
			r.Out.Header.Set("X-Forwarded-For", "127.0.0.1")
			r.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		Transport: f.backend,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	f.server = &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !f.enter() {
				hangUp(w)
				return
			}
			defer f.requests.Done()
			proxy.ServeHTTP(w, r)
		}),
	}
	f.served = make(chan struct{})
	go func() {
		defer close(f.served)
		_ = f.server.Serve(f.listener) // it ends with close
	}()
}

// enter says whether a request may pass.
func (f *front) enter() bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	if !f.cut {
		f.requests.Add(1)
	}
	return !f.cut
}

func (f *front) setCut(cut bool) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.cut = cut
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (f *front) close() error {
	if f.server == nil {
		return f.listener.Close()
	}
	err := f.server.Close()
	<-f.served
	f.backend.CloseIdleConnections()
	return err
}

// newCertificates makes an authority, as PEM, and a certificate of it for localhost. Both are good for a day.
func newCertificates(now time.Time) (authority []byte, certificate tls.Certificate, err error) {
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sandbox"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, certificate, err
		}
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &keys[0].PublicKey, keys[0])
	if err != nil {
		return nil, certificate, fmt.Errorf("authority: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &keys[1].PublicKey, keys[0])
	if err != nil {
		return nil, certificate, fmt.Errorf("certificate: %w", err)
	}
	certificate = tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: keys[1]}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), certificate, nil
}
