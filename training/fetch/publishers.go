package fetch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// publisher knows where the editions of a list are.
type publisher struct {
	find   func(ctx context.Context, on time.Time) (edition, error) // on: zero for the newest
	before func(date time.Time, apart int) time.Time
	dated  bool   // find needs a day
	hint   string // where a day has no list
}

// edition is one list of a publisher.
type edition struct {
	source string
	date   time.Time
	url    string
	ending string // of the file in the cache
	sum    sum    // published beside the file; zero: none
	cached bool   // it can only come from the cache
}

func daysBefore(date time.Time, apart int) time.Time { return date.AddDate(0, 0, -apart) }

func (f *Fetcher) publishers() map[string]publisher {
	return map[string]publisher{
		"tranco":   {find: f.tranco, before: daysBefore},
		"umbrella": {find: f.umbrella, before: daysBefore, dated: true},
		"majestic": {
			find: f.majestic, before: daysBefore,
			hint: "; Majestic publishes the newest alone: fetch it each day, and the cache will have the earlier ones",
		},
		"crux": {find: f.crux, before: func(date time.Time, apart int) time.Time { return date.AddDate(0, -apart, 0) }},
	}
}

func (f *Fetcher) today() time.Time { return f.Now().UTC().Truncate(24 * time.Hour) }

func (f *Fetcher) at(host, path string) string {
	if f.Mirror != "" {
		return strings.TrimRight(f.Mirror, "/") + path
	}
	return "https://" + host + path
}

// tranco asks the API (https://tranco-list.eu/api_documentation) for the list of a day, the million of its first names. It has lists since
// 2018 and no checksums; a list's ID stands for its content.
func (f *Fetcher) tranco(ctx context.Context, on time.Time) (edition, error) {
	which := "latest"
	if !on.IsZero() {
		which = on.Format(day)
	}
	var answer struct {
		ID        string `json:"list_id"`
		Available bool   `json:"available"`
		Created   string `json:"created_on"`
	}
	if err := f.json(ctx, f.at("tranco-list.eu", "/api/lists/date/"+which), &answer); err != nil {
		return edition{}, err
	}
	if !answer.Available {
		return edition{}, errNoList
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]{1,16}$`).MatchString(answer.ID) {
		return edition{}, fmt.Errorf("the list's ID is %.40q", answer.ID)
	}
	date, err := time.Parse(day, answer.Created[:min(len(answer.Created), len(day))])
	if err != nil {
		return edition{}, fmt.Errorf("the list's date is %.40q", answer.Created)
	}
	return edition{
		source: "tranco", date: date, ending: ".csv",
		url: f.at("tranco-list.eu", "/download/"+answer.ID+"/1000000"),
	}, nil
}

// umbrella has a file for each day since 2016 in an S3 bucket, today's often only tomorrow.
func (f *Fetcher) umbrella(_ context.Context, on time.Time) (edition, error) {
	if on.IsZero() {
		on = f.today()
	}
	return edition{
		source: "umbrella", date: on, ending: ".csv.zip",
		url: f.at("s3-us-west-1.amazonaws.com", "/umbrella-static/top-1m-"+on.Format(day)+".csv.zip"),
	}, nil
}

// majestic has one file, written each day; earlier days are those that the cache kept.
func (f *Fetcher) majestic(ctx context.Context, on time.Time) (edition, error) {
	e := edition{source: "majestic", date: on, ending: ".csv", url: f.at("downloads.majestic.com", "/majestic_million.csv")}
	if !on.IsZero() && on.Before(f.today()) && f.has(e) {
		e.cached = true
		return e, nil
	}
	request, err := f.request(ctx, http.MethodHead, e.url)
	if err != nil {
		return e, err
	}
	response, err := f.Client.Do(request)
	if err != nil {
		return e, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return e, fmt.Errorf("HEAD %s: %s", e.url, response.Status)
	}
	modified, err := http.ParseTime(response.Header.Get("Last-Modified"))
	if err != nil {
		modified = f.Now()
	}
	e.date = modified.UTC().Truncate(24 * time.Hour)
	if !on.IsZero() && on.Before(e.date) {
		return e, errNoList
	}
	return e, nil
}

// crux asks GitHub for the months that are there, and for their Git hashes (https://github.com/zakird/crux-top-lists).
func (f *Fetcher) crux(ctx context.Context, on time.Time) (edition, error) {
	var files []struct {
		Name string `json:"name"`
		SHA  string `json:"sha"`
		Size int64  `json:"size"`
	}
	if err := f.json(ctx, f.at("api.github.com", "/repos/zakird/crux-top-lists/contents/data/global"), &files); err != nil {
		return edition{}, err
	}
	var found []edition
	for _, file := range files {
		month, ok := strings.CutSuffix(file.Name, ".csv.gz")
		date, err := time.Parse("200601", month)
		if !ok || err != nil || !on.IsZero() && date.After(on) {
			continue // current.csv.gz, or later than wanted
		}
		found = append(found, edition{
			source: "crux", date: date, ending: ".csv.gz", sum: sum{gitBlob(file.Size), "Git's hash of it", file.SHA},
			url: f.at("raw.githubusercontent.com", "/zakird/crux-top-lists/main/data/global/"+file.Name),
		})
	}
	if len(found) == 0 {
		return edition{}, errNoList
	}
	return slices.MaxFunc(found, func(a, b edition) int { return a.date.Compare(b.date) }), nil
}

// json gets a small answer of an API.
func (f *Fetcher) json(ctx context.Context, url string, into any) error {
	return f.again(ctx, url, func() (bool, error) {
		request, err := f.request(ctx, http.MethodGet, url)
		if err != nil {
			return false, err
		}
		response, err := f.Client.Do(request)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if err := statusError(response); err != nil {
			return false, err
		}
		const most = 4 << 20 // bytes
		if err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(into); err != nil {
			return false, fmt.Errorf("GET %s: %w", url, err)
		}
		return false, nil
	})
}

func (f *Fetcher) request(ctx context.Context, method, url string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	request.Header.Set("User-Agent", f.Agent)
	return request, nil
}
