package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// final is an error that trying again will not cure.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// later is an error with the server's word on when to try again.
type later struct {
	error
	after time.Duration
}

func (l later) Unwrap() error { return l.error }

const (
	firstPause   = time.Second
	longestPause = time.Minute
	mostTries    = 200 // also of a server that sends a byte each time
)

// again calls try until it succeeds, an error is final, or it failed Tries times without getting further. Between two
// tries it waits a second, then twice as long each time, give or take a quarter, or as long as the server says.
func (f *Fetcher) again(ctx context.Context, url string, try func() (further bool, err error)) error {
	failed := 0
	for n := 1; ; n++ {
		further, err := try()
		var end final
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &end):
			return end.error
		case further:
			failed = 0
		}
		if failed++; failed >= f.Tries || n >= mostTries {
			return fmt.Errorf("%w (given up after %d tries)", err, n)
		}
		pause := min(firstPause<<(failed-1), longestPause)
		pause += time.Duration((rand.Float64() - 0.5) / 2 * float64(pause)) // no secret
		var l later
		if errors.As(err, &l) {
			pause = min(l.after, longestPause)
		}
		f.Note(fmt.Sprintf("%v; trying again in %s", err, pause.Round(100*time.Millisecond)))
		if err := f.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// statusError says what an answer that is no content means.
func statusError(response *http.Response) error {
	err := fmt.Errorf("GET %s: %s", response.Request.URL.Redacted(), response.Status)
	switch code := response.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return nil
	case code == http.StatusNotFound, code == http.StatusGone:
		return final{fmt.Errorf("%w (%w)", errNoList, err)}
	case code == http.StatusForbidden && response.Header.Get("Server") == "AmazonS3":
		return final{fmt.Errorf("%w (%w)", errNoList, err)} // S3 tells strangers nothing of what is not there
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if seconds, bad := strconv.Atoi(response.Header.Get("Retry-After")); bad == nil && seconds >= 0 {
			return later{err, time.Duration(seconds) * time.Second}
		}
		return err
	}
	return final{err}
}

// download puts an edition in its place in the cache, going on where an earlier try or run was cut off.
func (f *Fetcher) download(ctx context.Context, e edition, l *List) error {
	p, err := openPart(l.Path+".part", e.url)
	if err != nil {
		return err
	}
	t := transfer{Fetcher: f, part: p, edition: e}
	err = f.again(ctx, e.url, func() (bool, error) { return t.try(ctx) })
	if err == nil {
		l.Manifest = p.of
		l.Fetched, l.SHA256, l.Bytes, l.Checked = f.Now().UTC().Truncate(time.Second), t.sha, t.size, t.checked
		return p.finish(l.Path)
	}
	if size, sizeErr := p.size(); sizeErr == nil && size == 0 || errors.Is(err, errNoList) {
		return errors.Join(err, ignoreMissing(p.discard()))
	}
	return errors.Join(err, p.file.Close())
}

type transfer struct {
	*Fetcher
	*part
	edition
	sums         []sum
	sha, checked string
	size         int64
	most         int64 // of the file was there at any time
}

// try is one request. further tells that there is more of the file than ever before.
func (t *transfer) try(ctx context.Context) (further bool, err error) {
	have, err := t.part.size()
	if err != nil {
		return false, final{err}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	request, err := t.request(ctx, http.MethodGet, t.url)
	if err != nil {
		return false, final{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // lengths, ranges and checksums are of the file
	request.Header.Set("X-Amz-Checksum-Mode", "ENABLED")
	if version := t.version(); have > 0 && version != "" {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		request.Header.Set("If-Range", version)
	}
	response, err := t.Client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		return false, errors.Join(errors.New("what is there is no beginning of what the server has"), t.file.Truncate(0))
	case http.StatusPartialContent:
		if !strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			return false, errors.Join(fmt.Errorf("asked from byte %d on, got %.60q", have, response.Header.Get("Content-Range")), t.file.Truncate(0))
		}
	default:
		if err := statusError(response); err != nil {
			return false, err
		}
		if err := t.begin(response.Header); err != nil {
			return false, final{err}
		}
		have, t.sums = 0, nil
	}
	if len(t.sums) == 0 { // S3 states some with the whole file alone
		t.sums = published(response.Header)
	}
	got, err := t.copy(response, have, stop)
	further = have+got > t.most
	t.most = max(t.most, have+got)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return further, err
	}
	return further, t.check()
}

// version is what If-Range takes: a strong entity tag, or a date (RFC 9110 section 13.1.5).
func (t *transfer) version() string {
	if tag := t.of.ETag; tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return t.of.LastModified
}

// copy appends the body to the part.
func (t *transfer) copy(response *http.Response, have int64, stop context.CancelCauseFunc) (got int64, err error) {
	total := int64(-1)
	if response.ContentLength >= 0 {
		total = have + response.ContentLength
	}
	if total > t.Bytes {
		return 0, final{fmt.Errorf("%s is announced with %d bytes: more than the %d that are taken", t.url, total, t.Bytes)}
	}
	if _, err := t.file.Seek(have, io.SeekStart); err != nil {
		return 0, final{err}
	}
	stall := time.AfterFunc(t.Stall, func() { stop(fmt.Errorf("GET %s: no byte for %s", t.url, t.Stall)) })
	defer stall.Stop()
	buffer := make([]byte, 256<<10)
	what := t.source + " " + t.date.Format(day)
	for {
		n, err := response.Body.Read(buffer)
		stall.Reset(t.Stall)
		if have+got+int64(n) > t.Bytes {
			return got, final{fmt.Errorf("%s has more than the %d bytes that are taken", t.url, t.Bytes)}
		}
		if _, err := t.file.Write(buffer[:n]); err != nil {
			return got, final{fmt.Errorf("cache: %w", err)}
		}
		got += int64(n)
		t.Progress(what, have+got, total)
		switch {
		case errors.Is(err, io.EOF):
			return got, nil
		case err != nil:
			return got, fmt.Errorf("GET %s: cut off at byte %d: %w", t.url, have+got, err)
		}
	}
}

// check holds the whole file against the published checksums. What fails is not gone on with.
func (t *transfer) check() (err error) {
	sums := slices.Clone(t.sums)
	if t.sum.new != nil {
		sums = append(sums, t.sum)
	}
	t.sha, t.size, t.checked, err = hashFile(t.part.path, sums)
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("%s: %w", filepath.Base(t.url), err), t.file.Truncate(0))
	case t.size == 0:
		return fmt.Errorf("%s is empty", t.url)
	}
	return nil
}
