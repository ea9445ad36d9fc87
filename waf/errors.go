package waf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Class sorts what can go wrong by what is to be done. It is a metric label.
type Class string

const (
	ClassCredentials Class = "credentials" // none, or not valid
	ClassDenied      Class = "denied"      // valid, without the permission
	ClassMissing     Class = "missing"     // no such set
	ClassLimits      Class = "limits"      // an AWS quota
	ClassInvalid     Class = "invalid"     // AWS refused what was sent and did not say which entry
	ClassConflict    Class = "conflict"    // another writer was faster, each time
	ClassThrottled   Class = "throttled"   // too many calls in the account, after repetitions
	ClassUnavailable Class = "unavailable" // no answer, or a failure on AWS's side, after repetitions
	ClassJournal     Class = "journal"     // nothing is written that cannot be journaled
	ClassRefused     Class = "refused"     // a policy did not let removals happen
	ClassOwner       Class = "owner"       // the set is tagged as somebody else's
	ClassHeld        Class = "held"        // a limit, not an error
	ClassOther       Class = "other"
)

func classes() []Class {
	return []Class{
		ClassCredentials, ClassDenied, ClassMissing, ClassLimits, ClassInvalid, ClassConflict, ClassThrottled,
		ClassUnavailable, ClassJournal, ClassRefused, ClassOwner, ClassOther,
	}
}

// Error is what one set suffered in one tick. The other sets went on.
type Error struct {
	Set   SetKind // empty: all of them
	Class Class
	Fix   string // what to do
	Err   error
}

func (e *Error) Error() string {
	where := "waf"
	if e.Set != "" {
		where = "waf: " + string(e.Set) + " set"
	}
	if e.Fix == "" {
		return fmt.Sprintf("%s: %v", where, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", where, e.Err, e.Fix)
}

func (e *Error) Unwrap() error { return e.Err }

// errorOf puts a class and a way out to what the SDK returned for a set.
func errorOf(kind SetKind, scope string, err error) *Error {
	e := &Error{Set: kind, Class: classify(err), Err: err}
	actions := "wafv2:GetIPSet and wafv2:UpdateIPSet"
	if kind == SetNames {
		actions = "wafv2:GetRegexPatternSet and wafv2:UpdateRegexPatternSet"
	}
	switch e.Class {
	case ClassCredentials:
		e.Fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a role (instance, task, service account)"
	case ClassDenied:
		e.Fix = "allow " + actions + " on the set's ARN"
	case ClassMissing:
		e.Fix = "check " + key(kind) + " (NAME/ID), waf.region and waf.scope, which is " + scope
	case ClassLimits:
		e.Fix = "compare the account's WAF quotas with 10 patterns of 200 characters and 10,000 addresses a set"
	case ClassThrottled:
		e.Fix = "another client uses up the account's one update a second: it is tried again at the next interval"
	case ClassUnavailable:
		e.Fix = "it is tried again at the next interval; check the way to AWS, or waf.endpoint"
	case ClassConflict:
		e.Fix = "another writer keeps changing the set: give Referee a set of its own"
	}
	return e
}

func classify(err error) Class {
	var (
		credentials credentialsError
		missing     *types.WAFNonexistentItemException
		limits      *types.WAFLimitsExceededException
		conflict    *types.WAFOptimisticLockException
		unavailable *types.WAFUnavailableEntityException
		invalid     *types.WAFInvalidParameterException
		api         smithy.APIError
		response    *smithyhttp.ResponseError
		network     net.Error
	)
	switch {
	case errors.As(err, &credentials):
		return ClassCredentials
	case errors.As(err, &missing):
		return ClassMissing
	case errors.As(err, &limits):
		return ClassLimits
	case errors.As(err, &conflict):
		return ClassConflict
	case errors.As(err, &unavailable):
		return ClassUnavailable
	case errors.As(err, &invalid):
		return ClassInvalid
	case errors.As(err, &api) && classOf(api.ErrorCode()) != "":
		return classOf(api.ErrorCode())
	case errors.As(err, &response) && response.HTTPStatusCode() >= 500,
		errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return ClassUnavailable
	}
	return ClassOther
}

// classOf knows the errors that all AWS services share (docs.aws.amazon.com/waf/latest/APIReference/CommonErrors.html)
// and that have no types.
func classOf(code string) Class {
	switch code {
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired":
		return ClassDenied
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "ExpiredTokenException",
		"ExpiredToken", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return ClassCredentials
	case "ValidationException", "ValidationError":
		return ClassInvalid
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
		return ClassThrottled
	}
	return ""
}

// refusedItem finds the item that AWS names as not acceptable, and AWS's words. One bad entry fails a whole update, and
// the error's Parameter is the entry (aws/aws-cdk #20003); what it is for a pattern is not published, so that a pattern
// counts as named when it is anywhere in the message, or when it is the only one that is new: the others were accepted
// before.
func refusedItem(err error, before, after []string) (item, words string, ok bool) {
	var invalid *types.WAFInvalidParameterException
	if !errors.As(err, &invalid) {
		return "", "", false
	}
	named := slices.IndexFunc(after, func(item string) bool {
		return item == canonical(aws.ToString(invalid.Parameter)) ||
			strings.HasPrefix(item, "^") && strings.Contains(invalid.ErrorMessage(), item)
	})
	if named >= 0 {
		return after[named], invalid.ErrorMessage(), true
	}
	fresh := slices.DeleteFunc(slices.Clone(after), func(item string) bool { return slices.Contains(before, item) })
	if len(fresh) == 1 {
		return fresh[0], invalid.ErrorMessage(), true
	}
	return "", "", false
}
