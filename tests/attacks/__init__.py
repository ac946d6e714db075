"""What an adversary could try, tried: each attack with a control that shows it can succeed."""
