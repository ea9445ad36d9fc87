package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// S3Config is how S3 is reached.
type S3Config struct {
	Region   string // empty: what the AWS environment says
	Endpoint string // empty: AWS's own; else objects are addressed by path
}

// Bucket is one S3 bucket, to be read. It is safe for concurrent use.
type Bucket struct {
	client *s3.Client
	name   string
}

// Object is one key of a bucket.
type Object struct {
	Key      string
	Size     int64
	Modified time.Time
	ETag     string
}

// ParseS3 reads s3://bucket/prefix; the prefix may be empty.
func ParseS3(url string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(url, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", "", fmt.Errorf("%q is no s3://bucket/prefix", url)
	}
	return bucket, prefix, nil
}

// OpenBucket makes no call; credentials are looked for at the first one, as the AWS environment gives them.
func OpenBucket(ctx context.Context, cfg S3Config, name string) (*Bucket, error) {
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{}), config.WithRetryMaxAttempts(4)}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if loaded.Region == "" {
		return nil, fmt.Errorf("s3://%s: no Region is known: name the bucket's, or set AWS_REGION", name)
	}
	return &Bucket{name: name, client: s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
			o.UsePathStyle = true
		}
	})}, nil
}

// List gives page after page of the objects below prefix whose keys come after a key, in the order of their keys, until page
// returns false. Empty objects and "folders" are left out.
func (b *Bucket) List(ctx context.Context, prefix, after string, page func([]Object) bool) error {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
	if after != "" {
		in.StartAfter = &after
	}
	pages := s3.NewListObjectsV2Paginator(b.client, in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("s3://%s/%s: listing: %w", b.name, prefix, err)
		}
		objects := make([]Object, 0, len(out.Contents))
		for _, o := range out.Contents {
			if size := aws.ToInt64(o.Size); size > 0 {
				objects = append(objects, Object{aws.ToString(o.Key), size, aws.ToTime(o.LastModified), aws.ToString(o.ETag)})
			}
		}
		if !page(objects) {
			return nil
		}
	}
	return nil
}

// folders lists what lies right below a prefix that ends with a slash: the sub-folders, and whether there are objects too.
func (b *Bucket) folders(ctx context.Context, prefix string, most int) (folders []string, objects bool, err error) {
	slash := "/"
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, Delimiter: &slash})
	for pages.HasMorePages() && len(folders) < most {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, false, fmt.Errorf("s3://%s/%s: listing: %w", b.name, prefix, err)
		}
		objects = objects || len(out.Contents) > 0
		for _, f := range out.CommonPrefixes {
			folders = append(folders, aws.ToString(f.Prefix))
		}
	}
	return folders, objects, nil
}

// Open begins to read an object.
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", b.name, key, err)
	}
	return out.Body, nil
}

// URL is the address of an object.
func (b *Bucket) URL(key string) string { return "s3://" + b.name + "/" + key }

// StreamOf tells what one writer's keys begin with from the date in a key: AWS WAF writes
// AWSLogs/ACCOUNT/WAFLogs/REGION/ACL/2026/11/23/03/10/…, CloudFront PREFIX/DISTRIBUTION.2026-11-23-03.…; within a stream keys
// sort by time. The date is empty, and the stream the key's folder, where there is none.
func StreamOf(key string) (stream, date string) {
	for i := 0; i+7 <= len(key); i++ {
		if i > 0 && key[i-1] != '/' && key[i-1] != '.' && key[i-1] != '-' && key[i-1] != '_' {
			continue
		}
		if y, m := number([]byte(key[i:i+4])), number([]byte(key[i+5:i+7])); y >= 1990 && m >= 1 && m <= 12 &&
			(key[i+4] == '/' || key[i+4] == '-') {
			return key[:i], strings.ReplaceAll(key[i:], "/", "-")
		}
	}
	return key[:strings.LastIndexByte(key, '/')+1], ""
}

// Cursor remembers which objects of one stream were read. AWS delivers them nearly in the order of their keys: what comes up
// to an hour late is still seen.
type Cursor struct {
	After string           `json:"after"` // every key up to this one was read, or came too late
	Done  map[string]int64 `json:"done"`  // keys behind it that were, and when they were written, Unix seconds
}

const (
	lateness = time.Hour
	maxDone  = 100_000 // keys in one Cursor, 15 MB; of more the first are forgotten
)

// Has reports whether an object was read.
func (c *Cursor) Has(key string) bool {
	if key <= c.After {
		return true
	}
	_, done := c.Done[key]
	return done
}

// Add notes that an object was read.
func (c *Cursor) Add(o Object) {
	if c.Done == nil {
		c.Done = map[string]int64{}
	}
	c.Done[o.Key] = o.Modified.Unix()
}

// Trim lets go of what was written more than an hour before the newest object, up to the first key that is still to be read
// (empty: none is). Where keys carry no date, one that comes later may sort before: then nothing is let go.
func (c *Cursor) Trim(unread string) {
	newest := int64(0)
	for _, at := range c.Done {
		newest = max(newest, at)
	}
	excess := len(c.Done) - maxDone
	for _, key := range slices.Sorted(maps.Keys(c.Done)) {
		_, date := StreamOf(key)
		old := date != "" && c.Done[key] < newest-int64(lateness/time.Second)
		if unread != "" && key >= unread || !old && excess <= 0 {
			return
		}
		c.After = key
		delete(c.Done, key)
		excess--
	}
}

// errNoObjects is the answer to a prefix that holds nothing.
var errNoObjects = errors.New("there are no objects here")

// ListAll returns the objects below a prefix in the order of the dates in their keys, whatever stream they are of; at most
// limit of them, or an error. skip, if not nil, leaves some out.
func (b *Bucket) ListAll(ctx context.Context, prefix string, limit int, skip func(Object) bool) ([]Object, int, error) {
	var all []Object
	seen, skipped := 0, 0
	err := b.List(ctx, prefix, "", func(page []Object) bool {
		for _, o := range page {
			if seen++; skip != nil && skip(o) {
				skipped++
				continue
			}
			all = append(all, o)
		}
		return len(all) <= limit
	})
	switch {
	case err != nil:
		return nil, 0, err
	case len(all) > limit:
		return nil, 0, fmt.Errorf("s3://%s/%s: more than %d objects: narrow the prefix, to a month or a day", b.name, prefix, limit)
	case seen == 0:
		return nil, 0, fmt.Errorf("s3://%s/%s: %w", b.name, prefix, errNoObjects)
	}
	slices.SortStableFunc(all, func(a, b Object) int {
		_, aDate := StreamOf(a.Key)
		_, bDate := StreamOf(b.Key)
		return cmp.Or(cmp.Compare(aDate, bDate), cmp.Compare(a.Key, b.Key))
	})
	return all, skipped, nil
}
