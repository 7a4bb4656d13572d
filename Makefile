.PHONY: setup
setup: ## a virtual environment with everything
	@true
