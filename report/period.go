package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxPeriod is ten years: more than a ledger holds.
const maxPeriod = 10 * 366 * 24 * time.Hour

// ParsePeriod reads how far back a report goes: "90m", "24h", "7d".
func ParsePeriod(s string) (time.Duration, error) {
	period, err := time.ParseDuration(s)
	if days, isDays := strings.CutSuffix(s, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		period = time.Duration(min(n, int(maxPeriod/(24*time.Hour)))) * 24 * time.Hour
	}
	if err != nil || period <= 0 {
		return 0, fmt.Errorf("period %q: want a number and a unit, such as 90m, 24h or 7d", s)
	}
	return min(period, maxPeriod), nil
}
