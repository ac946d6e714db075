"""What is asked of a posterior that is there: scores of its predictions, and joint draws."""
