// Thumbnails as matrix-media-repo makes them, for thumbnails.py:
// thumbnail_peer FILE SIZES ROUNDS OUT prints the least milliseconds of processor time.
package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	_ "image/png"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/disintegration/imaging"
)

func main() {
	source, err := os.ReadFile(os.Args[1])
	check(err)
	rounds, err := strconv.Atoi(os.Args[3])
	check(err)
	least := 0.0
	for round := 0; round < rounds; round++ {
		began := processorTime()
		for number, size := range strings.Split(os.Args[2], ",") {
			thumbnail := render(source, size)
			check(os.WriteFile(fmt.Sprintf("%s.%d", os.Args[4], number), thumbnail, 0o644))
		}
		if took := processorTime() - began; round == 0 || took < least {
			least = took
		}
	}
	fmt.Printf("%.2f\n", least)
}

func render(source []byte, size string) []byte {
	picture, _, err := image.Decode(bytes.NewReader(source))
	check(err)
	var width, height int
	_, err = fmt.Sscanf(size, "%dx%d", &width, &height)
	check(err)
	if strings.HasSuffix(size, "c") {
		picture = imaging.Fill(picture, width, height, imaging.Center, imaging.Linear)
	} else {
		picture = imaging.Fit(picture, width, height, imaging.Linear)
	}
	var out bytes.Buffer
	check(jpeg.Encode(&out, picture, &jpeg.Options{Quality: 80}))
	return out.Bytes()
}

func processorTime() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	milliseconds := func(time syscall.Timeval) float64 {
		return float64(time.Sec)*1000 + float64(time.Usec)/1000
	}
	return milliseconds(usage.Utime) + milliseconds(usage.Stime)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
