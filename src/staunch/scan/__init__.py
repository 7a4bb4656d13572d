"""What is in an image: streams its layers once and gives an ``Inventory``. Import from the modules."""
