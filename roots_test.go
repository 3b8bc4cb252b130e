package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// TestAPublicCertificateIsKnownWhereThereAreNoRoots runs itself as in an image from scratch, where every root that programs
// are used to find is missing.
func TestAPublicCertificateIsKnownWhereThereAreNoRoots(t *testing.T) {
	const child = "SYNUPKEEP_TEST_ROOTS"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		nowhere := t.TempDir()
		cmd.Env = append(os.Environ(), child+"=1", "SSL_CERT_FILE="+nowhere+"/none", "SSL_CERT_DIR="+nowhere)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	known := 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: cert.NotBefore}); err == nil {
			known++
		}
	}
	if known < 50 {
		t.Errorf("%d of the public authorities are known", known)
	}
}
