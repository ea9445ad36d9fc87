package logs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// authority signs the certificates of these tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, cert, key}
}

// pair is a certificate for firehose.example.com and its key, in PEM; serial tells it from others.
func (a authority) pair(serial int64) (cert, key []byte) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"firehose.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// trusting is the configuration of a client that trusts the authority.
func (a authority) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "firehose.example.com"}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// firehoseTLS is a Config whose files lie in dir.
func firehoseTLS(t *testing.T, a authority, dir string) Config {
	t.Helper()
	cert, key := a.pair(1)
	cfg := FirehoseConfig{
		Listen: "127.0.0.1:0", KeyFile: filepath.Join(dir, "access"), MaxBody: 16 << 20,
		TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key"),
	}
	writeFile(t, cfg.KeyFile, []byte(firehoseKey))
	writeFile(t, cfg.TLSCert, cert)
	writeFile(t, cfg.TLSKey, key)
	return Config{Firehose: cfg, WAF: WAFConfig{Evidence: true}}
}

// client makes connections that nobody has used before.
func (r *rig) client(cfg *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// ask posts a delivery and returns the status and the whole answer.
func (r *rig) ask(client *http.Client, id, key string, body io.Reader) (status int, answer string, err error) {
	request, err := http.NewRequest(http.MethodPost, "https://"+r.Addresses()["firehose"]+"/", body)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("X-Amz-Firehose-Request-Id", id)
	request.Header.Set("X-Amz-Firehose-Access-Key", key)
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	return response.StatusCode, string(got), err
}

// troubleWith is what was last said of a part.
func (r *rig) troubleWith(part string) (err error, said bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err, said = r.trouble[part]
	return err, said
}

func TestFirehoseDeliversByTLS12AndLaterAndByNothingElse(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, firehoseTLS(t, a, t.TempDir()), "")
	r.start()
	one := func(id string) io.Reader {
		return strings.NewReader(string(delivery(id, wafOf("alphaone", "ALLOW", "x"))))
	}
	if status, answer, err := r.ask(r.client(a.trusting()), "id-1", firehoseKey, one("id-1")); status != http.StatusOK || err != nil {
		t.Errorf("%d %s %v", status, answer, err)
	}
	r.want("alphaone")
	if _, _, err := r.ask(r.client(newAuthority(t).trusting()), "id-2", firehoseKey, one("id-2")); err == nil {
		t.Error("a client that trusts somebody else delivered")
	}
	old := a.trusting()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, err := r.ask(r.client(old), "id-2", firehoseKey, one("id-2")); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	response, err := http.Get("http://" + r.Addresses()["firehose"])
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("what speaks no TLS was answered %s", response.Status)
	}
	r.want("alphaone")
}

func TestACertificateReplacedOnDiskIsServedFromTheNextConnectionOn(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	cfg := firehoseTLS(t, a, dir)
	r := newRig(t, cfg, "")
	r.start()
	f := func(wantSerial int64, wantTrouble string) {
		t.Helper()
		conn, err := tls.Dial("tcp", r.Addresses()["firehose"], a.trusting())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != wantSerial {
			t.Errorf("certificate %d, want %d", got, wantSerial)
		}
		got := ""
		if err, _ := r.troubleWith(firehoseTLSPart); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, wantTrouble) || wantTrouble == "" && got != "" {
			t.Errorf("trouble %q, want %q", got, wantTrouble)
		}
	}
	f(1, "")
	if _, said := r.troubleWith(firehoseTLSPart); said {
		t.Error("unchanged files were read again")
	}
	// A renewal writes one file after the other: until they fit together the old pair is served.
	cert, key := a.pair(2)
	writeFile(t, cfg.Firehose.TLSCert, cert)
	f(1, "does not match")
	writeFile(t, cfg.Firehose.TLSKey, key)
	f(2, "")
	writeFile(t, cfg.Firehose.TLSCert, []byte("no certificate"))
	f(2, cfg.Firehose.TLSCert)
	if err := os.Remove(cfg.Firehose.TLSCert); err != nil {
		t.Fatal(err)
	}
	f(2, "no such file")
	// Kubernetes swaps a link to the directory that holds both.
	next := filepath.Join(dir, "next")
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	cert, key = a.pair(3)
	writeFile(t, filepath.Join(next, "tls.crt"), cert)
	writeFile(t, filepath.Join(next, "tls.key"), key)
	for _, name := range []string{"tls.crt", "tls.key"} {
		link := filepath.Join(dir, "link-"+name)
		if err := os.Symlink(filepath.Join(next, name), link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f(3, "")
}

func TestFilesThatMakeNoCertificateEndTheStartAndAreNamed(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	good := firehoseTLS(t, a, dir).Firehose
	_, other := a.pair(2)
	otherKey, garbage, missing := filepath.Join(dir, "other.key"), filepath.Join(dir, "garbage"), filepath.Join(dir, "missing")
	writeFile(t, otherKey, other)
	writeFile(t, garbage, []byte("hello"))
	empty, short := filepath.Join(dir, "empty"), filepath.Join(dir, "short")
	writeFile(t, empty, []byte("\n\n"))
	writeFile(t, short, []byte(firehoseKey+"\ntooshort\n"))
	f := func(accessKey, cert, key string, want ...string) {
		t.Helper()
		cfg := good
		cfg.KeyFile, cfg.TLSCert, cfg.TLSKey = accessKey, cert, key
		_, err := newFirehose(&Intake{cfg: Config{Firehose: cfg}, now: time.Now}, prometheus.NewRegistry())
		if err == nil {
			t.Errorf("%s, %s, %s were taken", accessKey, cert, key)
			return
		}
		for _, w := range append(want, "logs.firehose") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
		if strings.Contains(err.Error(), "tooshort") {
			t.Errorf("%q tells a key", err)
		}
	}
	f(good.KeyFile, missing, good.TLSKey, missing, "no such file")
	f(good.KeyFile, good.TLSCert, missing, missing, "no such file")
	f(good.KeyFile, garbage, good.TLSKey, garbage, "PEM")
	f(good.KeyFile, good.TLSCert, otherKey, good.TLSCert, otherKey, "does not match")
	f(good.KeyFile, good.TLSKey, good.TLSCert, good.TLSKey, "switched")
	f(missing, good.TLSCert, good.TLSKey, missing, "key-file")
	f(empty, good.TLSCert, good.TLSKey, empty, "openssl rand")
	f(short, good.TLSCert, good.TLSKey, short, "openssl rand")
}

func TestAnAccessKeyIsReplacedWithoutARestartAndWithoutAGap(t *testing.T) {
	a := newAuthority(t)
	cfg := firehoseTLS(t, a, t.TempDir())
	r := newRig(t, cfg, "")
	r.start()
	client, n := r.client(a.trusting()), 0
	f := func(file string, wantOld, wantNew int) {
		t.Helper()
		writeFile(t, cfg.Firehose.KeyFile, []byte(file))
		for key, want := range map[string]int{firehoseKey: wantOld, "another-key-of-some-length": wantNew, "": http.StatusUnauthorized} {
			n++
			id := fmt.Sprint("id-", n)
			status, answer, err := r.ask(client, id, key, strings.NewReader(string(delivery(id))))
			if status != want || err != nil {
				t.Errorf("file %q, key %q: %d %s %v, want %d", file, key, status, answer, err, want)
			}
		}
	}
	f(firehoseKey+"\n", 200, 401)
	f(firehoseKey+"\nanother-key-of-some-length\n", 200, 200)
	f("another-key-of-some-length", 401, 200)
	f("", 401, 200) // what cannot be a key takes no key's place
	if err, _ := r.troubleWith(firehoseKeyPart); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("trouble %v", err)
	}
	f(firehoseKey, 200, 401)
	if err, _ := r.troubleWith(firehoseKeyPart); err != nil {
		t.Errorf("trouble %v", err)
	}
}
