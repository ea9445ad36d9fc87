package waftest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	targetPrefix = "AWSWAF_20190729." // X-Amz-Target, from the API model's metadata
	contentType  = "application/x-amz-json-1.1"
	maxBody      = 4 << 20 // 10,000 addresses of 50 characters are half a megabyte
)

// apiError is an error of the service: its type and the members that the API model gives it.
type apiError struct {
	Code      string `json:"__type"`
	Message   string `json:"message,omitempty"`
	Field     string `json:"Field,omitempty"`
	Parameter string `json:"Parameter,omitempty"`
	Reason    string `json:"Reason,omitempty"`
}

func (e *apiError) status() int {
	if e.Code == "WAFInternalErrorException" || e.Code == "InternalFailure" {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// invalidParameter words a WAFInvalidParameterException as AWS does.
func invalidParameter(reason, field, parameter string) *apiError {
	return &apiError{
		Code:      "WAFInvalidParameterException",
		Message:   fmt.Sprintf("Error reason: %s, field: %s, parameter: %s", reason, field, parameter),
		Field:     field,
		Parameter: parameter,
		Reason:    reason,
	}
}

// validation is what the service's front refuses for breaking a constraint of the API model.
func validation(value, member, constraint string) *apiError {
	return &apiError{Code: "ValidationException", Message: fmt.Sprintf(
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint)}
}

// input holds the members of every request that the endpoint understands.
type input struct {
	Name                  string
	ID                    string `json:"Id"`
	Scope                 string
	Description           *string
	IPAddressVersion      string
	Addresses             *[]string
	RegularExpressionList *[]regex
	LockToken             string
	NextMarker            string
	Tags                  []tag
	ResourceARN           string
	Rules                 []rule
	Limit                 *int

	region string // from the signature's credential scope
}

type regex struct{ RegexString string }

// items are the addresses or the patterns of a request that check has passed.
func (in input) items(k kind) []string {
	if k == ipSet {
		return *in.Addresses
	}
	list := make([]string, len(*in.RegularExpressionList))
	for i, r := range *in.RegularExpressionList {
		list[i] = r.RegexString
	}
	return list
}

// action is one of the API's: what it requires, and what it does once that is there.
type action struct {
	kind  kind
	needs needs
	do    func(*Server, kind, input) (any, *apiError)
}

// actionOf finds an action by the name in X-Amz-Target.
func actionOf(name string) (a action, known bool) {
	switch name { // those about no one kind of set
	case "CheckCapacity":
		return action{needs: needs{rules: true}, do: func(s *Server, _ kind, in input) (any, *apiError) { return s.checkCapacity(in) }}, true
	case "ListTagsForResource":
		return action{needs: needs{arn: true}, do: func(s *Server, _ kind, in input) (any, *apiError) { return s.listTags(in) }}, true
	case "TagResource":
		return action{needs: needs{arn: true}, do: func(s *Server, _ kind, in input) (any, *apiError) { return s.tagResource(in) }}, true
	}
	verb, ok := strings.CutSuffix(strings.TrimSuffix(name, "s"), "RegexPatternSet")
	a = action{kind: regexSet, needs: needs{patterns: true}}
	if !ok {
		if verb, ok = strings.CutSuffix(strings.TrimSuffix(name, "s"), "IPSet"); !ok {
			return action{}, false
		}
		a = action{kind: ipSet, needs: needs{addresses: true}}
	}
	if strings.HasSuffix(name, "s") != (verb == "List") {
		return action{}, false
	}
	switch verb {
	case "Create":
		a.needs.version, a.do = a.kind == ipSet, (*Server).create
	case "Get":
		a.needs, a.do = needs{id: true}, (*Server).get
	case "Update":
		a.needs.id, a.needs.token, a.do = true, true, (*Server).update
	case "List":
		a.needs, a.do = needs{list: true}, (*Server).list
	case "Delete":
		a.needs, a.do = needs{id: true, token: true}, (*Server).remove
	}
	return a, a.do != nil
}

func (a action) call(s *Server, in input) (any, *apiError) {
	if fail := in.check(a.needs); fail != nil {
		return nil, fail
	}
	return a.do(s, a.kind, in)
}

func isWrite(action string) bool {
	return !strings.HasPrefix(action, "Get") && !strings.HasPrefix(action, "List") && action != "CheckCapacity"
}

// ServeHTTP answers one call of the JSON 1.1 protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, prefixed := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	act, known := actionOf(name)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var in input
	var fail *apiError
	switch err := json.Unmarshal(body, &in); {
	case r.Method != http.MethodPost || !prefixed || !known:
		fail = &apiError{Code: "UnknownOperationException"}
	case err != nil:
		fail = &apiError{Code: "SerializationException", Message: err.Error()}
	}
	if in.region = regionOf(r.Header.Get("Authorization")); in.region == "" && fail == nil {
		fail = &apiError{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}

	call := Call{Time: s.now(), Action: name, Set: in.Name}
	var fault Fault
	if s.fault != nil && fail == nil {
		fault = s.fault(call)
	}
	select {
	case <-time.After(fault.Delay):
	case <-r.Context().Done():
	}
	if fault.Reset {
		panic(http.ErrAbortHandler)
	}

	out, fail := s.handle(call, act, in, fault, fail)
	if fault.Lost {
		panic(http.ErrAbortHandler)
	}
	reply(w, out, fail)
}

// handle carries a call out and logs it, as one step.
func (s *Server) handle(call Call, act action, in input, fault Fault, fail *apiError) (out any, _ *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call.Time = s.now()
	if fail == nil && fault.Code != "" {
		fail = &apiError{Code: fault.Code, Message: "injected by a test"}
	}
	if fail == nil && !s.admit(call) {
		fail = &apiError{Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	if fail == nil {
		out, fail = act.call(s, in)
	}
	if fail != nil {
		call.Err = fail.Code
	}
	s.calls = append(s.calls, call)
	return out, fail
}

// admit keeps each action within its quota over every window of one second. Refused calls do not count.
func (s *Server) admit(c Call) bool {
	quota := s.limits.Reads
	if c.Writes() {
		quota = s.limits.Updates
	}
	recent := s.accepted[c.Action]
	for len(recent) > 0 && c.Time.Sub(recent[0]) >= time.Second {
		recent = recent[1:]
	}
	ok := len(recent) < quota
	if ok {
		recent = append(recent, c.Time)
	}
	s.accepted[c.Action] = recent
	return ok
}

// regionOf reads the Region from "AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/wafv2/aws4_request, …". The
// signature itself is not verified: any credentials do.
func regionOf(authorization string) string {
	_, credential, _ := strings.Cut(authorization, "Credential=")
	credential, _, _ = strings.Cut(credential, ",")
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[3] != "wafv2" {
		return ""
	}
	return scope[2]
}

func reply(w http.ResponseWriter, out any, fail *apiError) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("x-amzn-RequestId", newID())
	status := http.StatusOK
	if fail != nil {
		w.Header().Set("x-amzn-ErrorType", fail.Code)
		out, status = fail, fail.status()
	}
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// newID returns an identifier of the form that the API model asks of ids and lock tokens.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
